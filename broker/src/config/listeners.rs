//! Addresses to listen on, and addresses to tell clients.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::value::split_list;

/// An address to bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    /// Host name or address without brackets. `None` is every interface, IPv4 and IPv6 alike: many
    /// systems try `::1` first for `localhost`, so binding IPv4 only makes clients stumble.
    pub host: Option<String>,
    /// Port; 0 lets the system pick a free one.
    pub port: u16,
}

impl ListenAddress {
    /// Parses `HOST:PORT`; an IPv6 address stands in brackets, and the host may be empty.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((host, port)) = text.trim().rsplit_once(':') else {
            return Err(format!("needs HOST:PORT, not '{text}'"));
        };
        let port = port
            .parse::<u16>()
            .map_err(|_| format!("needs a port from 0 to 65535, not '{port}'"))?;
        let bare = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(Some(bare)) => bare,
            Some(None) => return Err(format!("has '[' without ']' in '{host}'")),
            None if host.contains(':') => {
                return Err(format!(
                    "needs the IPv6 address in brackets: [{host}]:{port}"
                ));
            }
            None => host,
        };
        if bare.contains(|letter: char| letter.is_whitespace() || "/@[]".contains(letter)) {
            return Err(format!("needs a host name or an IP address, not '{bare}'"));
        }
        let host = (!bare.is_empty()).then(|| bare.to_owned());
        Ok(Self { host, port })
    }

    /// What to bind, as `HOST:PORT`, the first that succeeds: for every interface the IPv6 address
    /// that takes IPv4 too, or that of IPv4 alone where the system has no IPv6.
    pub fn bind_addresses(&self) -> Vec<String> {
        match &self.host {
            Some(_) => vec![self.to_string()],
            None => vec![
                format!("[::]:{}", self.port),
                format!("0.0.0.0:{}", self.port),
            ],
        }
    }

    /// Whether this is every interface, by an empty host or by the address that stands for all.
    pub fn is_wildcard(&self) -> bool {
        let address = self.host.as_deref().map(str::parse::<IpAddr>);
        self.host.is_none() || matches!(address, Some(Ok(address)) if address.is_unspecified())
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.as_deref().unwrap_or_default();
        if host.contains(':') {
            write!(formatter, "[{host}]:{}", self.port)
        } else {
            write!(formatter, "{host}:{}", self.port)
        }
    }
}

/// What a listener's clients are told to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdvertisedListener {
    /// This host; without a port, the one that the listener is bound to.
    Fixed {
        /// Host name or address without brackets.
        host: String,
        /// Port, if it is not the listener's own.
        port: Option<u16>,
    },
    /// The address that the client has connected to, as this side of the connection sees it.
    ///
    /// A listener on every interface has no address of its own, and the machine's host name often
    /// resolves nowhere outside (a container's id, a laptop's name). The address that the client has
    /// just used is known to work for that client.
    AsConnected,
}

impl AdvertisedListener {
    /// Host and port to tell a client whose connection has the local address `local`, on a listener
    /// that is bound to `bound_port`.
    pub fn resolve(&self, local: SocketAddr, bound_port: u16) -> (String, u16) {
        match self {
            Self::Fixed { host, port } => (host.clone(), port.unwrap_or(bound_port)),
            Self::AsConnected => (local.ip().to_canonical().to_string(), local.port()),
        }
    }
}

/// One listener for Kafka clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Its name, in upper case; PLAINTEXT unless chosen otherwise.
    pub name: String,
    /// What to bind.
    pub bind: ListenAddress,
    /// What to tell clients.
    pub advertised: AdvertisedListener,
}

/// Puts the three configs of listeners together. The errors name the config that is wrong.
pub(super) fn listeners(
    listeners: &str,
    advertised: Option<&str>,
    protocols: &str,
) -> Result<Vec<ListenerConfig>, (&'static str, String)> {
    let protocols = parse_protocol_map(protocols)
        .map_err(|reason| ("listener.security.protocol.map", reason))?;
    let mut advertised = parse_endpoints(advertised.unwrap_or_default())
        .map_err(|reason| ("advertised.listeners", reason))?;
    let mut result = Vec::new();
    for (name, bind) in parse_endpoints(listeners).map_err(|reason| ("listeners", reason))? {
        match protocols.get(&name).map(String::as_str) {
            Some("PLAINTEXT") => {}
            Some(other) => {
                return Err((
                    "listeners",
                    format!("cannot use the protocol {other} of {name} yet"),
                ));
            }
            None => {
                let reason = format!("lacks the listener {name}; add {name}:PLAINTEXT");
                return Err(("listener.security.protocol.map", reason));
            }
        }
        let advertised = match advertised.remove(&name) {
            Some(ListenAddress {
                host: Some(host),
                port,
            }) => {
                let port = (port != 0).then_some(port);
                AdvertisedListener::Fixed { host, port }
            }
            // An advertised address without a host was refused, so `_` is a listener without one.
            _ => match &bind.host {
                Some(host) if !bind.is_wildcard() => AdvertisedListener::Fixed {
                    host: host.clone(),
                    port: None,
                },
                _ => AdvertisedListener::AsConnected,
            },
        };
        result.push(ListenerConfig {
            name,
            bind,
            advertised,
        });
    }
    match advertised.into_keys().next() {
        Some(name) => Err((
            "advertised.listeners",
            format!("has {name}, which listeners lacks"),
        )),
        None => Ok(result),
    }
}

/// `NAME://HOST:PORT` entries by their names, which are unique.
fn parse_endpoints(text: &str) -> Result<BTreeMap<String, ListenAddress>, String> {
    let mut endpoints: BTreeMap<String, ListenAddress> = BTreeMap::new();
    for entry in split_list(text) {
        let Some((name, address)) = entry.split_once("://") else {
            return Err(format!("needs NAME://HOST:PORT, not '{entry}'"));
        };
        if name.is_empty()
            || !name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return Err(format!(
                "needs a listener name of letters, digits and '_', not '{name}'"
            ));
        }
        let address = ListenAddress::parse(address)?;
        let same_port = |other: &ListenAddress| address.port != 0 && *other == address;
        if endpoints.values().any(same_port) {
            return Err(format!("has the address {address} twice"));
        }
        if endpoints
            .insert(name.to_ascii_uppercase(), address)
            .is_some()
        {
            return Err(format!("has the listener {name} twice"));
        }
    }
    Ok(endpoints)
}

fn parse_protocol_map(text: &str) -> Result<BTreeMap<String, String>, String> {
    const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
    let mut protocols = BTreeMap::new();
    for entry in split_list(text) {
        let (name, protocol) = entry.split_once(':').unwrap_or((entry.as_str(), ""));
        if name.is_empty() || !PROTOCOLS.contains(&protocol) {
            let known = PROTOCOLS.join(", ");
            return Err(format!(
                "needs NAME:PROTOCOL with one of {known}, not '{entry}'"
            ));
        }
        protocols.insert(name.to_ascii_uppercase(), protocol.to_owned());
    }
    Ok(protocols)
}

pub(super) fn check_listeners(text: &str) -> Result<(), String> {
    match parse_endpoints(text)?.is_empty() {
        true => Err("needs at least one NAME://HOST:PORT".to_owned()),
        false => Ok(()),
    }
}

pub(super) fn check_advertised(text: &str) -> Result<(), String> {
    for (name, address) in parse_endpoints(text)? {
        if address.is_wildcard() {
            return Err(format!(
                "needs a host that clients can reach for {name}, not '{address}'"
            ));
        }
    }
    Ok(())
}

pub(super) fn check_protocol_map(text: &str) -> Result<(), String> {
    parse_protocol_map(text).map(|_| ())
}

pub(super) fn check_optional_address(text: &str) -> Result<(), String> {
    optional_address(text).map(|_| ())
}

/// `HOST:PORT`, or empty for no listener.
pub(super) fn optional_address(text: &str) -> Result<Option<ListenAddress>, String> {
    match text.is_empty() {
        true => Ok(None),
        false => ListenAddress::parse(text).map(Some),
    }
}
