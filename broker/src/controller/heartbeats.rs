//! This broker's own session: heartbeats to whoever leads the quorum, in one stream, and in another one when that ends.

use std::{error::Error, sync::Arc, time::Duration};

use fjord_proto::peer::v1::{Heartbeat, HeartbeatAnswer};
use fjord_quorum::{NodeId, Quorum};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};
use tracing::{debug, info};

use super::{channels::Channels, leader::SharedSessions};

/// Heartbeats that wait for the network.
const QUEUE: usize = 4;
/// Pause before the next connection.
const RETRY: Duration = Duration::from_millis(20);

/// What this broker has to say about itself. Changes are said at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wish {
    /// It can be unfenced.
    pub is_ready: bool,
    /// It wants to stop, when the others have seen this many changes of the metadata.
    pub stop_after: Option<u64>,
}

/// The session's task.
pub struct Heartbeats {
    /// The quorum.
    pub quorum: Quorum,
    /// The cluster.
    pub cluster_id: String,
    /// This broker.
    pub broker_id: i32,
    /// The epoch of its registration.
    pub broker_epoch: i64,
    /// The brokers' sessions for when this one leads, which is told of the leader's connection.
    pub sessions: Arc<SharedSessions>,
    /// Connections.
    pub channels: Channels,
    /// Where this broker reaches itself.
    pub own_address: String,
    /// `broker.heartbeat.interval.ms`.
    pub interval: Duration,
    /// `broker.session.timeout.ms`: a leader that is silent for so long is looked for again.
    pub silence: Duration,
    /// How many changes of the metadata this broker has acted on.
    pub position: watch::Receiver<u64>,
    /// What it wants.
    pub wish: watch::Receiver<Wish>,
    /// Whether a leader of the quorum was heard within `silence`.
    pub contact: watch::Sender<bool>,
    /// Whether it may stop.
    pub may_stop: watch::Sender<bool>,
    /// Why it must: another process has registered in its place.
    pub replaced: watch::Sender<Option<String>>,
}

impl Heartbeats {
    /// Keeps the session until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&self) {
        let mut heard = Instant::now();
        loop {
            if let Some((leader, address)) = self.leader()
                && let Err(status) = self.session(leader, &address, &mut heard).await
            {
                debug!(leader, %status, "the session with the leader of the quorum ended");
                // What the transport says has a source, what the leader says has none.
                if status.source().is_some()
                    && let Ok(leader) = i32::try_from(leader)
                {
                    self.sessions.lock().leader_broke(leader);
                }
                if status.code() == Code::Aborted {
                    let reason = status.message().to_owned();
                    self.replaced.send_replace(Some(reason));
                    return;
                }
            }
            if heard.elapsed() > self.silence {
                self.contact.send_if_modified(std::mem::take);
            }
            sleep(RETRY).await;
        }
    }

    fn leader(&self) -> Option<(NodeId, String)> {
        let state = self.quorum.watch();
        let state = state.borrow();
        let leader = state.leader?;
        if leader == self.quorum.node_id() {
            return Some((leader, self.own_address.clone()));
        }
        let member = state.members.get(&leader)?;
        Some((leader, member.address.clone()))
    }

    /// One session, until it ends, or there is another leader.
    async fn session(
        &self,
        leader: NodeId,
        address: &str,
        heard: &mut Instant,
    ) -> Result<(), Status> {
        let invalid = |error: tonic::transport::Error| Status::internal(error.to_string());
        let mut client = self.channels.controller(address).map_err(invalid)?;
        let (heartbeats, queue) = mpsc::channel(QUEUE);
        // The queue is empty, so there is room.
        let _ = heartbeats.try_send(self.heartbeat());
        let opening = client.session(ReceiverStream::new(queue));
        let late = |_| Status::deadline_exceeded("the leader does not answer");
        let opened = timeout(self.silence, opening).await.map_err(late)?;
        let answers = opened?.into_inner();
        self.sessions.lock().leader_found();
        info!(
            leader,
            "heartbeats go to the leader of the metadata's quorum"
        );
        let mut state = self.quorum.watch();
        let another = state.wait_for(|state| state.leader.is_some_and(|other| other != leader));
        tokio::select! {
            ended = self.beat(heartbeats, answers, heard) => ended,
            _ = another => Ok(()),
        }
    }

    async fn beat(
        &self,
        heartbeats: mpsc::Sender<Heartbeat>,
        mut answers: Streaming<HeartbeatAnswer>,
        heard: &mut Instant,
    ) -> Result<(), Status> {
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut wish = self.wish.clone();
        let opened = Instant::now();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                changed = wish.changed() => if changed.is_err() { return Ok(()) },
                answer = answers.message() => match answer? {
                    Some(answer) => {
                        *heard = Instant::now();
                        self.contact.send_if_modified(|contact| !std::mem::replace(contact, true));
                        self.may_stop.send_if_modified(|may| std::mem::replace(may, answer.may_stop) != answer.may_stop);
                        continue;
                    }
                    None => return Ok(()),
                },
            }
            if opened.max(*heard).elapsed() > self.silence {
                return Err(Status::deadline_exceeded("the leader does not answer"));
            }
            // A full queue holds heartbeats enough.
            let _ = heartbeats.try_send(self.heartbeat());
        }
    }

    fn heartbeat(&self) -> Heartbeat {
        let wish = *self.wish.borrow();
        Heartbeat {
            cluster_id: self.cluster_id.clone(),
            broker_id: self.broker_id,
            broker_epoch: self.broker_epoch,
            position: *self.position.borrow(),
            ready: wish.is_ready,
            stop_after: wish.stop_after,
        }
    }
}
