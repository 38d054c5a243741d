//! A client of Fjord, over its gRPC API.
//!
//! ```no_run
//! use fjord_client::{Client, ClientOptions, Guarantee, ProducerRecord};
//!
//! # async fn run() -> Result<(), fjord_client::Error> {
//! let client = Client::connect("localhost:9192", ClientOptions::default()).await?;
//! let producer = client.producer(Guarantee::EffectivelyOnce.options()).await?;
//! let record = ProducerRecord::new("flights").key("N14228").value("EWR-IAH");
//! let delivered = producer.send(record).await?.await?;
//! println!("at {:?} of partition {}", delivered.offset, delivered.partition);
//! producer.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! What there is:
//!
//! - [`Client`]: a connection to one of several brokers. Any broker takes any request, so one is enough; when it goes
//!   away, producers, fetchers and consumers go on with the next. Its methods are also the administration of topics,
//!   groups, configs and the cluster, one for each call of the API.
//! - [`Producer`]: batches records by partition and keeps several batches under way. [`Guarantee`] has the three
//!   settings that users ask for.
//! - [`Fetcher`]: reads partitions from places that the reader names.
//! - [`Consumer`]: reads topics as a member of a consumer group.
//!
//! Keys and values are [`bytes::Bytes`]: slices of the message that they came in. The messages themselves are those of
//! the API, in [`proto`].

mod admin;
mod client;
mod connect;
mod consumer;
mod error;
mod fetcher;
mod producer;
mod retry;

pub use client::{Client, ClientOptions};
pub use connect::parse_addresses;
pub use consumer::{Consumer, Event, SubscribeOptions};
pub use error::{ApiError, Attempt, Error};
pub use fetcher::{FetchOptions, Fetched, Fetcher, Start};
pub use fjord_proto::partitioner;
/// The messages of the API, as they are on the wire.
pub use fjord_proto::v1 as proto;
pub use fjord_proto::v1::{Acks, Compression, Position};
pub use producer::{Delivered, Delivery, Guarantee, Producer, ProducerOptions, ProducerRecord};
/// The codes of gRPC, which [`ApiError`] has.
pub use tonic::Code;

/// What a call of this crate comes to.
pub type Result<T, E = Error> = std::result::Result<T, E>;
