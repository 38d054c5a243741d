//! Addresses of brokers, and connecting to the first of them that can be reached.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint, Uri};

use crate::{
    ClientOptions, Result,
    error::{Attempt, Error, root_cause},
};

/// HTTP/2's window of one stream: at 1 ms of round trip enough for 8 GB/s.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
/// HTTP/2's window of the whole connection.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// How often an open stream is asked whether the other side is still there.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// How long the other side may take to say so.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Takes a list of addresses apart: `host:port`, separated by commas. `[::1]:9192` is an address too.
///
/// # Errors
///
/// [`Error::Invalid`] if there is none, or one has no host or port.
pub fn parse_addresses(list: &str) -> Result<Vec<String>> {
    let addresses: Vec<String> = list
        .split(',')
        .map(str::trim)
        .filter(|address| !address.is_empty())
        .map(str::to_owned)
        .collect();
    if addresses.is_empty() {
        return Err(Error::Invalid(
            "no broker address: name at least one HOST:PORT".to_owned(),
        ));
    }
    for address in &addresses {
        let port = address
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty() && (!host.contains(':') || host.ends_with(']')))
            .and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none_or(|port| port == 0) || !is_authority(address) {
            return Err(Error::Invalid(format!(
                "{address:?} is not an address: write HOST:PORT, such as localhost:9192"
            )));
        }
    }
    Ok(addresses)
}

/// Whether nothing but an address would be read from its URI.
fn is_authority(address: &str) -> bool {
    let uri = uri_of(address).parse::<Uri>().ok();
    uri.and_then(|uri| uri.into_parts().authority)
        .is_some_and(|authority| authority.as_str() == address)
}

fn uri_of(address: &str) -> String {
    format!("http://{address}")
}

/// Tries the addresses in order, beginning with `first`; returns the place of the one that answered too.
///
/// # Errors
///
/// [`Error::Connect`] with what happened at each, if none can be reached.
pub(crate) async fn connect_any(
    addresses: &[String],
    first: usize,
    options: &ClientOptions,
) -> Result<(Channel, usize)> {
    let mut tried = Vec::new();
    for step in 0..addresses.len() {
        let place = (first + step) % addresses.len();
        let address = &addresses[place];
        match connect_one(address, options).await {
            Ok(channel) => return Ok((channel, place)),
            Err(cause) => tried.push(Attempt {
                address: address.clone(),
                cause,
            }),
        }
    }
    Err(Error::Connect { tried })
}

async fn connect_one(address: &str, options: &ClientOptions) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(uri_of(address))
        .map_err(|error| root_cause(&error))?
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .connect_timeout(options.connect_timeout);
    // Over all addresses that the name stands for; the endpoint's own timeout is for each of them.
    match tokio::time::timeout(options.connect_timeout, endpoint.connect()).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(root_cause(&error)),
        Err(_) => Err(format!(
            "no connection within {} s",
            options.connect_timeout.as_secs_f64()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Client;

    #[test]
    fn addresses_are_checked() {
        assert_eq!(
            parse_addresses("a:1, b:2,").expect("two"),
            vec!["a:1".to_owned(), "b:2".to_owned()]
        );
        assert_eq!(parse_addresses("[::1]:9").expect("one").len(), 1);
        for wrong in [
            "", ",", "a", "a:", ":1", "a:0", "a:b", "::1", "a:70000", "a b:1", "a/b:1",
        ] {
            assert!(parse_addresses(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_told_with_each_address() {
        // Two ports that were free a moment ago.
        let free = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.local_addr().expect("an address").to_string()
        };
        let (first, second) = (free(), free());
        let error = Client::connect(&format!("{first},{second}"), ClientOptions::default())
            .await
            .expect_err("nobody listens");
        let Error::Connect { tried } = error else {
            panic!("{error}")
        };
        let addresses: Vec<_> = tried.iter().map(|attempt| &attempt.address).collect();
        assert_eq!(addresses, [&first, &second]);
        assert!(
            tried[0].cause.to_lowercase().contains("refused"),
            "{tried:?}"
        );
    }
}
