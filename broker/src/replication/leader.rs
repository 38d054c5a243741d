//! The leaders' side: one session for each broker that follows partitions which this one leads.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use bytes::Bytes;
use fjord_log::{ReadBatches, ReadError, ReadLimit};
use fjord_proto::peer::v1::{
    Diverged, Follow, Following, Hello, NotFollowed, Position, Records, ReplicateRequest,
    ReplicateResponse, StartAt, replicate_request::Message, replicate_response as response,
    replication_service_server::ReplicationService,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{debug, warn};
use uuid::Uuid;

use super::{
    catch_up::{CatchUp, Pace, follower_limit},
    divergence::{Agreement, LogTail, compare},
};
use crate::{
    broker::Broker,
    clock::monotonic_ms,
    partition::{FollowerAt, Link, Outbox, Replica},
};

/// Messages that wait for the network.
const MESSAGES: usize = 4;
/// Bytes of one message.
const CHUNK_BYTES: usize = 1 << 20;

/// See the module's documentation.
pub struct Service {
    broker: Arc<Broker>,
    catch_up: Arc<CatchUp>,
}

/// What is sent to a follower's broker.
type Responses = mpsc::Sender<Result<ReplicateResponse, Status>>;

/// A follower's stream.
struct Session {
    broker: Arc<Broker>,
    follower: Hello,
    outbox: Arc<Outbox>,
    followed: HashMap<u32, Followed>,
    responses: Responses,
    catch_up: Arc<CatchUp>,
    /// What this follower takes.
    pace: Pace,
}

/// A partition of a stream.
struct Followed {
    replica: Arc<Replica>,
    link: Arc<Link>,
    /// The next offset to send.
    next: u64,
    /// What was said last of the log's bounds.
    told: (u64, u64),
}

impl Service {
    /// Serves followers of what `broker` leads.
    pub fn new(broker: Arc<Broker>) -> Self {
        let log = Arc::clone(broker.partitions.log());
        let catch_up = Arc::new(CatchUp::new(broker.live_config.clone(), log));
        broker.metrics.add_source(Arc::clone(&catch_up) as _);
        Self { broker, catch_up }
    }
}

#[tonic::async_trait]
impl ReplicationService for Service {
    type ReplicateStream = ReceiverStream<Result<ReplicateResponse, Status>>;

    async fn replicate(
        &self,
        request: Request<Streaming<ReplicateRequest>>,
    ) -> Result<Response<Self::ReplicateStream>, Status> {
        let mut requests = request.into_inner();
        let first = requests.message().await?.and_then(|first| first.message);
        let Some(Message::Hello(follower)) = first else {
            return Err(Status::invalid_argument("a stream begins with hello"));
        };
        self.check(&follower)?;
        let (responses, receiver) = mpsc::channel(MESSAGES);
        let session = Session {
            broker: Arc::clone(&self.broker),
            follower,
            outbox: Arc::default(),
            followed: HashMap::new(),
            responses,
            catch_up: Arc::clone(&self.catch_up),
            pace: Pace::new(Instant::now()),
        };
        tokio::spawn(session.run(requests));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

impl Service {
    /// Refuses who is of another cluster, or means another broker.
    fn check(&self, hello: &Hello) -> Result<(), Status> {
        let image = self.broker.metadata.image();
        let cluster_id = image.cluster_id().unwrap_or_default();
        if hello.cluster_id != cluster_id {
            return Err(Status::failed_precondition(format!(
                "this is a broker of cluster {cluster_id}, and broker {} is of cluster {}",
                hello.broker_id, hello.cluster_id
            )));
        }
        let id = self.broker.id();
        match hello.leader_id == id {
            true => Ok(()),
            false => Err(Status::failed_precondition(format!(
                "this is broker {id}, not broker {}",
                hello.leader_id
            ))),
        }
    }
}

impl Session {
    async fn run(mut self, mut requests: Streaming<ReplicateRequest>) {
        let follower = self.follower.broker_id;
        debug!(follower, "a follower has connected");
        let stopping = self.broker.stopping.clone();
        loop {
            let outbox = Arc::clone(&self.outbox);
            let responses = self.responses.clone();
            let (catch_up, taken_at) = (Arc::clone(&self.catch_up), self.pace.ready_at);
            // The room first: what is read is as new as can be when it leaves.
            let next = async move {
                let room = responses.reserve_owned().await.ok()?;
                let catch_up_at = || catch_up.ready_at().max(taken_at);
                Some((room, outbox.next(catch_up_at).await))
            };
            let going_on = tokio::select! {
                request = requests.message() => match request {
                    Ok(Some(request)) => self.handle(request).await,
                    Ok(None) | Err(_) => false,
                },
                next = next => match next {
                    Some((room, link)) => {
                        if let Some(response) = self.next_of(&link).await {
                            room.send(Ok(response));
                        }
                        true
                    }
                    None => false,
                },
                () = stopping.cancelled() => false,
            };
            if !going_on {
                break;
            }
        }
        for followed in self.followed.values() {
            followed.replica.follower_ends(&followed.link);
        }
        debug!(follower, "a follower is gone");
    }

    /// Returns whether the stream goes on.
    async fn handle(&mut self, request: ReplicateRequest) -> bool {
        let response = match request.message {
            Some(Message::Follow(follow)) => {
                let handle = follow.handle;
                match self.follow(&follow) {
                    Ok(message) => message,
                    Err(reason) => response::Message::NotFollowed(NotFollowed { handle, reason }),
                }
            }
            Some(Message::Unfollow(unfollow)) => {
                if let Some(followed) = self.followed.remove(&unfollow.handle) {
                    followed.replica.follower_ends(&followed.link);
                }
                return true;
            }
            Some(Message::Positions(positions)) => {
                positions.positions.iter().for_each(|at| self.position(at));
                return true;
            }
            Some(Message::Hello(_)) | None => return false,
        };
        let message = Some(response);
        let sent = self.responses.send(Ok(ReplicateResponse { message })).await;
        sent.is_ok()
    }

    fn position(&self, position: &Position) {
        if let Some(followed) = self.followed.get(&position.handle) {
            let at = self.at(position.end);
            followed
                .replica
                .follower_at(&followed.link, at, monotonic_ms());
        }
    }

    fn at(&self, end: u64) -> FollowerAt {
        FollowerAt {
            broker_epoch: self.follower.broker_epoch,
            end,
        }
    }

    /// A follower wants to follow a partition.
    fn follow(&mut self, follow: &Follow) -> Result<response::Message, String> {
        let handle = follow.handle;
        let topic_id = Uuid::from_slice(&follow.topic_id).map_err(|error| error.to_string())?;
        let replica = self
            .broker
            .partitions
            .leader(&topic_id, follow.partition)
            .map_err(|_| "this broker does not lead the partition".to_owned())?;
        let leader_epoch = replica.leader_epoch();
        if leader_epoch != follow.leader_epoch {
            return Err(format!(
                "the leader epoch is {leader_epoch}, not {}",
                follow.leader_epoch
            ));
        }
        let log = replica.log();
        let positions = log.positions();
        let tail = LogTail {
            log_end: follow.log_end,
            last_epoch: (follow.last_epoch >= 0).then_some(follow.last_epoch),
        };
        let agreement = compare(tail, positions.log_start, positions.log_end, |epoch| {
            log.log_end_for_epoch(epoch)
        });
        Ok(match agreement {
            Agreement::Diverged { epoch, end } => {
                response::Message::Diverged(Diverged { handle, epoch, end })
            }
            Agreement::StartAt(offset) => response::Message::StartAt(StartAt { handle, offset }),
            Agreement::Agrees => {
                let Entry::Vacant(place) = self.followed.entry(handle) else {
                    return Err("the handle is in use".to_owned());
                };
                let link = Link::new(&self.outbox, handle, self.follower.broker_id);
                let at = FollowerAt {
                    broker_epoch: self.follower.broker_epoch,
                    end: follow.log_end,
                };
                if !replica.follower_begins(&link, at, leader_epoch, monotonic_ms()) {
                    return Err("the leader's metadata is older or newer".to_owned());
                }
                link.mark();
                place.insert(Followed {
                    replica,
                    link,
                    next: follow.log_end,
                    told: (0, 0),
                });
                response::Message::Following(Following { handle })
            }
        })
    }

    /// What there is to send for a partition, if there is anything.
    async fn next_of(&mut self, link: &Arc<Link>) -> Option<ReplicateResponse> {
        let handle = link.handle;
        let followed = self.followed.get_mut(&handle)?;
        let message = |message| {
            Some(ReplicateResponse {
                message: Some(message),
            })
        };
        if link.is_closed() {
            self.followed.remove(&handle);
            let reason = "this broker does not lead the partition any more".to_owned();
            return message(response::Message::NotFollowed(NotFollowed {
                handle,
                reason,
            }));
        }
        let read = read(&self.broker, &followed.replica, followed.next).await?;
        let bounds = followed.replica.bounds();
        let read = match read {
            Ok(read) => read,
            Err(ReadError::OffsetOutOfRange { .. }) => {
                let link = self.followed.remove(&handle)?.link;
                link.close();
                let offset = bounds.log_start;
                return message(response::Message::StartAt(StartAt { handle, offset }));
            }
            Err(failed) => {
                warn!(partition = ?followed.replica, error = %failed, "cannot read for a follower");
                let reason = failed.to_string();
                self.followed.remove(&handle);
                return message(response::Message::NotFollowed(NotFollowed {
                    handle,
                    reason,
                }));
            }
        };
        let told = (bounds.high_watermark, bounds.log_start);
        if read.batches.is_empty() && told == followed.told {
            return None;
        }
        followed.told = told;
        if !read.batches.is_empty() {
            if !link.is_in_sync() {
                let bytes = read.batches.iter().map(Bytes::len).sum();
                let limit = follower_limit(&self.broker.metadata.image(), link.follower);
                self.catch_up.sent(bytes);
                self.pace.spend(bytes, limit, Instant::now());
            }
            followed.next = read.next_offset;
            // Others come first, if there is more.
            if followed.next < followed.replica.log().positions().durable_end {
                link.mark();
            }
        }
        message(response::Message::Records(Records {
            handle,
            batches: read.batches,
            high_watermark: bounds.high_watermark,
            log_start: bounds.log_start,
        }))
    }
}

/// What a leader's log has from `offset` on. Nothing if the broker stops.
async fn read(
    broker: &Broker,
    replica: &Arc<Replica>,
    offset: u64,
) -> Option<Result<ReadBatches, ReadError>> {
    let limit = ReadLimit::from(CHUNK_BYTES);
    let log = replica.log();
    if let Some(read) = log.read_written(offset, limit) {
        return Some(read);
    }
    let log = Arc::clone(log);
    let end = log.positions().durable_end;
    broker.blocking(move || log.read(offset, limit, end)).await
}
