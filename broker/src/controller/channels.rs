//! Connections to the peer listeners of other brokers, by address.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fjord_proto::peer::v1::controller_service_client::ControllerServiceClient;
use tonic::transport::{Channel, Endpoint, Error};

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often a connection is asked whether it lives, and how long it may take to answer: TCP alone would repeat itself
/// ever more slowly after a cut, and go on being silent long after the network is back.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Connections that are kept. Those to addresses that are gone are forgotten when there are more.
const CONNECTIONS: usize = 256;
/// Largest command and answer: many topics with many partitions.
pub const MESSAGE_BYTES: usize = 64 << 20;

/// Connections by address, made at the first call and again after they broke. Clones share them.
#[derive(Clone, Default)]
pub struct Channels(Arc<Mutex<HashMap<String, Channel>>>);

impl Channels {
    /// The connection to this `host:port`.
    ///
    /// # Errors
    /// The address is none.
    pub fn to(&self, address: &str) -> Result<Channel, Error> {
        let mut channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        let channel = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true)
            .connect_lazy();
        if channels.len() >= CONNECTIONS {
            channels.clear();
        }
        channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }

    /// The controller's client at this address.
    ///
    /// # Errors
    /// The address is none.
    pub fn controller(&self, address: &str) -> Result<ControllerServiceClient<Channel>, Error> {
        let client = ControllerServiceClient::new(self.to(address)?);
        Ok(client
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES))
    }
}
