//! Channels to other brokers, by what the metadata says of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tonic::transport::{Channel, Endpoint};

use crate::{
    controller::PEER_ENDPOINT,
    metadata::{Delta, Image, ImageObserver, records},
};

/// How long connecting takes at most.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection on which nothing comes back for so long is given up: interval of the questions, and time to answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_millis(500);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(1);
/// What may be under way to this broker by stream and by connection.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// Channels to the brokers that are registered. One is kept for each, until its address changes.
#[derive(Default)]
pub struct PeerChannels {
    /// The newest that was observed.
    image: Mutex<Image>,
    channels: Mutex<HashMap<i32, (records::Endpoint, Channel)>>,
}

impl PeerChannels {
    fn image(&self) -> Image {
        let image = self.image.lock();
        // Copying it is copying a few pointers.
        image.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A channel to a broker, which connects when it is used. Nothing if the metadata has no address for it.
    pub fn to(&self, broker_id: i32) -> Option<Channel> {
        let image = self.image();
        let endpoints = &image.broker(broker_id)?.endpoints;
        let address = endpoints.iter().find(|at| at.listener == PEER_ENDPOINT)?;
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, channel)) = channels.get(&broker_id)
            && known == address
        {
            return Some(channel.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{}:{}", address.host, address.port))
            .inspect_err(
                |error| tracing::error!(broker_id, %error, "a broker's address makes no sense"),
            )
            .ok()?;
        let channel = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .connect_lazy();
        channels.insert(broker_id, (address.clone(), channel.clone()));
        Some(channel)
    }

    /// This broker's registration: the cluster's id, and the broker's epoch. Nothing before it is registered.
    pub fn registration(&self, broker_id: i32) -> Option<(String, i64)> {
        let image = self.image();
        let epoch = image.broker(broker_id)?.epoch;
        Some((image.cluster_id()?.to_owned(), epoch))
    }
}

impl ImageObserver for Arc<PeerChannels> {
    fn before_publish(&self, _old: &Image, new: &Image, _delta: &Delta) {
        *self.image.lock().unwrap_or_else(PoisonError::into_inner) = new.clone();
    }
}
