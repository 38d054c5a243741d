//! Opening listening sockets, for Kafka, HTTP and gRPC alike.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::net::TcpListener;

use crate::config::ListenAddress;

/// A listener could not be opened.
#[derive(Debug, Error)]
pub enum BindError {
    /// The address cannot be resolved.
    #[error("cannot resolve the listener address {address}: {source}")]
    Resolve {
        /// The address as it was configured.
        address: ListenAddress,
        /// The system's error.
        source: io::Error,
    },
    /// The socket cannot be set up.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address as it was configured.
        address: ListenAddress,
        /// The system's error.
        source: io::Error,
    },
}

/// A listening socket and its address.
pub(crate) struct BoundListener {
    pub(crate) listener: TcpListener,
    /// With the port that the system chose, if it was to choose.
    pub(crate) local_addr: SocketAddr,
}

/// Opens a listening socket on the first address that `address` stands for and that can be bound,
/// with `SO_REUSEADDR` and what `configure` sets before binding.
///
/// # Errors
///
/// [`BindError`] with the address.
pub(crate) fn bind_tcp(
    address: &ListenAddress,
    backlog: u32,
    configure: impl Fn(&Socket) -> io::Result<()>,
) -> Result<BoundListener, BindError> {
    let candidates = candidates(address).map_err(|source| BindError::Resolve {
        address: address.clone(),
        source,
    })?;
    let mut last_error = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for candidate in candidates {
        match listen(candidate, backlog, &configure) {
            Ok(bound) => return Ok(bound),
            Err(error) => last_error = error,
        }
    }
    Err(BindError::Listen {
        address: address.clone(),
        source: last_error,
    })
}

/// The addresses to try. Every interface means both families on one socket, or IPv4 alone where
/// the system has no IPv6.
fn candidates(address: &ListenAddress) -> io::Result<Vec<SocketAddr>> {
    let port = address.port;
    match &address.host {
        None => Ok(vec![
            (Ipv6Addr::UNSPECIFIED, port).into(),
            (Ipv4Addr::UNSPECIFIED, port).into(),
        ]),
        Some(host) => Ok((host.as_str(), port).to_socket_addrs()?.collect()),
    }
}

fn listen(
    address: SocketAddr,
    backlog: u32,
    configure: impl Fn(&Socket) -> io::Result<()>,
) -> io::Result<BoundListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    configure(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    let listener = TcpListener::from_std(socket.into())?;
    let local_addr = listener.local_addr()?;
    Ok(BoundListener {
        listener,
        local_addr,
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn every_interface_takes_ipv4_clients() {
        let address = ListenAddress {
            host: None,
            port: 0,
        };
        let bound = bind_tcp(&address, 8, |_| Ok(())).unwrap();
        let port = bound.local_addr.port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn errors_name_the_address() {
        let taken = bind_tcp(&address("127.0.0.1", 0), 8, |_| Ok(())).unwrap();
        let port = taken.local_addr.port();
        let error = bind_tcp(&address("127.0.0.1", port), 8, |_| Ok(()))
            .err()
            .unwrap();
        assert!(
            error.to_string().contains(&format!("127.0.0.1:{port}")),
            "{error}"
        );
    }

    fn address(host: &str, port: u16) -> ListenAddress {
        ListenAddress {
            host: Some(host.to_owned()),
            port,
        }
    }
}
