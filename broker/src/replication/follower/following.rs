//! One stream from a leading broker, and the partitions in it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fjord_log::AppendError;
use fjord_proto::peer::v1::{
    Diverged, Follow, Position, Positions, Records, ReplicateRequest, ReplicateResponse, StartAt,
    Unfollow, replicate_request::Message, replicate_response as response,
};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{Instant, sleep, sleep_until},
};
use tonic::{Status, Streaming};
use tracing::{debug, error, info, warn};

use super::{Assigned, Assignment, Key};
use crate::partition::WriteError;

/// How long a partition is left alone that could not be followed.
const RETRY: Duration = Duration::from_millis(50);
/// How long to wait for room in the log's queue, and on a full disk.
const BUSY_WAIT: Duration = Duration::from_millis(2);
const DISK_FULL_WAIT: Duration = Duration::from_millis(500);

/// See the module's documentation.
pub struct Following {
    assignment: Arc<Assignment>,
    requests: mpsc::Sender<ReplicateRequest>,
    /// What the leader was asked for.
    followed: HashMap<u32, (Key, Assigned)>,
    handles: HashMap<Key, u32>,
    /// Partitions to be asked for again, not before this time.
    retry_at: Option<Instant>,
    next_handle: u32,
    written: Arc<Written>,
}

/// Partitions of which more is on this broker's disk than the leader knows.
#[derive(Default)]
struct Written {
    handles: Mutex<Changes>,
    wake: Notify,
}

#[derive(Default)]
struct Changes {
    grown: HashSet<u32>,
    failed: HashSet<u32>,
}

impl Written {
    fn tell(&self, handle: u32, result: &Result<fjord_log::AppendOutcome, AppendError>) {
        let mut changes = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(_) => changes.grown.insert(handle),
            Err(_) => changes.failed.insert(handle),
        };
        drop(changes);
        self.wake.notify_one();
    }

    fn take(&self) -> Changes {
        let mut changes = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut changes)
    }
}

impl Following {
    pub fn new(assignment: Arc<Assignment>, requests: mpsc::Sender<ReplicateRequest>) -> Self {
        Self {
            assignment,
            requests,
            followed: HashMap::new(),
            handles: HashMap::new(),
            retry_at: None,
            next_handle: 0,
            written: Arc::default(),
        }
    }

    /// Follows until the stream ends, or nothing is left to follow.
    pub async fn run(mut self, mut responses: Streaming<ReplicateResponse>) -> Result<(), Status> {
        self.reconcile().await?;
        let assignment = Arc::clone(&self.assignment);
        let written = Arc::clone(&self.written);
        while !self.is_idle() {
            let retry_at = self.retry_at;
            let retry = async {
                match retry_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                response = responses.message() => match response? {
                    Some(response) => self.handle(response).await?,
                    None => return Err(Status::unavailable("the leader ended the stream")),
                },
                () = written.wake.notified() => self.tell_positions().await?,
                () = assignment.changed.notified() => self.reconcile().await?,
                () = retry => {
                    self.retry_at = None;
                    self.reconcile().await?;
                }
            }
        }
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.followed.is_empty() && self.retry_at.is_none() && self.assignment.lock().is_empty()
    }

    async fn send(&self, message: Message) -> Result<(), Status> {
        let message = Some(message);
        let sent = self.requests.send(ReplicateRequest { message }).await;
        sent.map_err(|_| Status::unavailable("the stream is closed"))
    }

    fn retry(&mut self) {
        self.retry_at.get_or_insert_with(|| Instant::now() + RETRY);
    }

    /// Follows what is assigned and not followed yet, and ends what is not assigned any more.
    async fn reconcile(&mut self) -> Result<(), Status> {
        let assigned = self.assignment.lock().clone();
        let stale = |(key, followed): &(Key, Assigned)| {
            let current = assigned.get(key);
            current.is_none_or(|current| current.leader_epoch != followed.leader_epoch)
        };
        let ended: Vec<u32> = self
            .followed
            .iter()
            .filter(|(_, followed)| stale(followed))
            .map(|(handle, _)| *handle)
            .collect();
        for handle in ended {
            self.forget(handle);
            self.send(Message::Unfollow(Unfollow { handle })).await?;
        }
        for (key, assigned) in assigned {
            if !self.handles.contains_key(&key) {
                self.begin(key, assigned).await?;
            }
        }
        Ok(())
    }

    fn forget(&mut self, handle: u32) {
        if let Some((key, _)) = self.followed.remove(&handle) {
            self.handles.remove(&key);
        }
    }

    /// Asks to follow a partition, once all that this broker has of it is on disk.
    async fn begin(&mut self, key: Key, assigned: Assigned) -> Result<(), Status> {
        let log = assigned.replica.log();
        let positions = log.positions();
        if positions.durable_end < positions.log_end {
            self.retry();
            return Ok(());
        }
        let log_end = positions.log_end;
        let newest = log.latest_epoch();
        if newest.is_some_and(|epoch| epoch.start_offset >= log_end) {
            // This broker led and was given no records. Its leader may have records of older epochs.
            let (replica, leader_epoch) = (Arc::clone(&assigned.replica), assigned.leader_epoch);
            let truncated =
                changed(move |done| replica.truncate(leader_epoch, log_end, done)).await;
            if let Err(failed) = truncated {
                debug!(partition = ?assigned.replica, error = %failed, "cannot forget an epoch without records now");
                self.retry();
                return Ok(());
            }
        }
        let last_record = log_end
            .checked_sub(1)
            .filter(|last| *last >= positions.log_start);
        let follow = Follow {
            handle: self.next_handle,
            topic_id: key.0.as_bytes().to_vec().into(),
            partition: key.1,
            leader_epoch: assigned.leader_epoch,
            log_end,
            last_epoch: last_record
                .and_then(|last| log.epoch_at(last))
                .unwrap_or(-1),
        };
        self.handles.insert(key, self.next_handle);
        self.followed.insert(self.next_handle, (key, assigned));
        self.next_handle += 1;
        self.send(Message::Follow(follow)).await
    }

    async fn handle(&mut self, response: ReplicateResponse) -> Result<(), Status> {
        use response::Message as Response;
        match response.message {
            Some(Response::Following(_)) | None => Ok(()),
            Some(Response::Records(records)) => {
                self.append(records).await;
                Ok(())
            }
            Some(Response::Diverged(diverged)) => self.diverged(diverged).await,
            Some(Response::StartAt(start)) => self.start_at(start).await,
            Some(Response::NotFollowed(refused)) => {
                let partition = self.followed.get(&refused.handle);
                debug!(partition = ?partition.map(|(key, _)| key), reason = refused.reason, "refused by the leader");
                self.forget(refused.handle);
                self.retry();
                Ok(())
            }
        }
    }

    /// Appends what the leader has sent. What does not fit in now waits, and with it the stream: the leader
    /// is not to send more than can be taken.
    async fn append(&mut self, records: Records) {
        let handle = records.handle;
        let Some((_, assigned)) = self.followed.get(&handle) else {
            return;
        };
        let Assigned {
            replica,
            leader_epoch,
        } = assigned.clone();
        for batch in records.batches {
            loop {
                let written = Arc::clone(&self.written);
                let done = Box::new(move |result: Result<_, _>| written.tell(handle, &result));
                match replica.append_from_leader(leader_epoch, batch.clone(), done) {
                    Ok(()) => break,
                    Err(WriteError::Log(AppendError::Busy | AppendError::IndexBehind)) => {
                        sleep(BUSY_WAIT).await;
                    }
                    Err(WriteError::Log(AppendError::DiskFull)) => sleep(DISK_FULL_WAIT).await,
                    Err(WriteError::NotLeader) => return,
                    Err(failed) => {
                        warn!(partition = ?replica, error = %failed, "cannot append what the leader sent");
                        self.forget(handle);
                        self.retry();
                        return;
                    }
                }
            }
        }
        let followed = replica
            .heard_high_watermark(leader_epoch, records.high_watermark)
            .and_then(|()| replica.follow_log_start(leader_epoch, records.log_start));
        match followed {
            Ok(()) | Err(WriteError::NotLeader) => {}
            Err(failed) => {
                error!(partition = ?replica, error = %failed, "cannot delete what the leader has deleted");
            }
        }
    }

    /// Tells the leader what is on this broker's disk.
    async fn tell_positions(&mut self) -> Result<(), Status> {
        let Changes { grown, failed } = self.written.take();
        let position = |handle: u32| {
            let (_, assigned) = self.followed.get(&handle)?;
            let end = assigned.replica.log().positions().durable_end;
            Some(Position { handle, end })
        };
        let positions: Vec<Position> = grown.into_iter().filter_map(position).collect();
        if !positions.is_empty() {
            self.send(Message::Positions(Positions { positions }))
                .await?;
        }
        for handle in failed {
            // Asked for again from where the log ends.
            if self.followed.contains_key(&handle) {
                self.forget(handle);
                self.send(Message::Unfollow(Unfollow { handle })).await?;
                self.retry();
            }
        }
        Ok(())
    }

    /// The leader has other records than this broker: they go, and it is asked again.
    async fn diverged(&mut self, diverged: Diverged) -> Result<(), Status> {
        let Some((key, assigned)) = self.followed.get(&diverged.handle).cloned() else {
            return Ok(());
        };
        self.forget(diverged.handle);
        let (replica, leader_epoch) = (Arc::clone(&assigned.replica), assigned.leader_epoch);
        let point = replica.log().diverges_at(diverged.epoch, diverged.end);
        info!(partition = ?assigned.replica, log_end = point, "truncating what the leader does not have");
        let truncated = changed(move |done| replica.truncate(leader_epoch, point, done)).await;
        self.again(key, assigned, truncated).await
    }

    /// Nothing of this broker's log is of use: it begins anew.
    async fn start_at(&mut self, start: StartAt) -> Result<(), Status> {
        let Some((key, assigned)) = self.followed.get(&start.handle).cloned() else {
            return Ok(());
        };
        self.forget(start.handle);
        let (replica, leader_epoch) = (Arc::clone(&assigned.replica), assigned.leader_epoch);
        info!(partition = ?assigned.replica, offset = start.offset, "beginning anew from the leader's log");
        let truncated =
            changed(move |done| replica.begin_anew(leader_epoch, start.offset, done)).await;
        self.again(key, assigned, truncated).await
    }

    async fn again(
        &mut self,
        key: Key,
        assigned: Assigned,
        truncated: Result<(), AppendError>,
    ) -> Result<(), Status> {
        match truncated {
            Ok(()) => self.begin(key, assigned).await,
            Err(failed) => {
                debug!(partition = ?assigned.replica, error = %failed, "cannot truncate now");
                self.retry();
                Ok(())
            }
        }
    }
}

/// Has the log changed on a thread that may wait for the disk, and waits until that is durable.
async fn changed(
    change: impl FnOnce(fjord_log::Completion) -> Result<(), AppendError> + Send + 'static,
) -> Result<(), AppendError> {
    let (sender, durable) = oneshot::channel();
    let done: fjord_log::Completion = Box::new(move |result| {
        // Nobody waits if the stream has ended meanwhile.
        let _ = sender.send(result);
    });
    let begun = tokio::task::spawn_blocking(move || change(done)).await;
    begun.unwrap_or(Err(AppendError::Closed))?;
    durable
        .await
        .unwrap_or(Err(AppendError::Closed))
        .map(|_| ())
}
