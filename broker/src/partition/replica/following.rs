//! What a replica does while another broker leads its partition.
//!
//! Whatever changes the log here names the leader's epoch: a message that comes late, when this broker leads, changes
//! nothing.

use bytes::Bytes;
use fjord_log::{AppendError, Completion};

use super::{Replica, Role, WriteError};

impl Replica {
    /// Does something as a follower in `leader_epoch`.
    fn as_follower<T>(
        &self,
        leader_epoch: i32,
        work: impl FnOnce() -> Result<T, AppendError>,
    ) -> Result<T, WriteError> {
        let role = self.role();
        if !matches!(*role, Role::Follower) || self.leader_epoch() != leader_epoch {
            return Err(WriteError::NotLeader);
        }
        Ok(work()?)
    }

    /// Appends a batch as the leader of `leader_epoch` has it. `done` is called once when it is on this broker's
    /// disk, or will not get there.
    ///
    /// # Errors
    ///
    /// [`WriteError::NotLeader`] if the replica does not follow in that epoch any more; or what the log says.
    pub fn append_from_leader(
        &self,
        leader_epoch: i32,
        batch: Bytes,
        done: Completion,
    ) -> Result<(), WriteError> {
        self.as_follower(leader_epoch, || {
            self.log.append_replica(batch, done).map(|_| ())
        })
    }

    /// What a follower knows of its leader's high watermark. It counts as far as the follower's own log goes: beyond,
    /// another leader may have other records.
    ///
    /// # Errors
    ///
    /// [`WriteError::NotLeader`] if the replica does not follow in that epoch any more.
    pub fn heard_high_watermark(
        &self,
        leader_epoch: i32,
        high_watermark: u64,
    ) -> Result<(), WriteError> {
        self.as_follower(leader_epoch, || {
            let known = high_watermark.min(self.log.positions().log_end);
            self.log
                .set_high_watermark(known.max(self.log.high_watermark()));
            Ok(())
        })
    }

    /// What the leader has deleted goes here too.
    ///
    /// # Errors
    ///
    /// [`WriteError::NotLeader`] if the replica does not follow in that epoch any more; or what the log says.
    pub fn follow_log_start(&self, leader_epoch: i32, log_start: u64) -> Result<(), WriteError> {
        self.as_follower(leader_epoch, || {
            let positions = self.log.positions();
            if log_start <= positions.log_start || log_start > positions.log_end {
                return Ok(());
            }
            self.log.set_log_start(log_start, Box::new(|_| ()))
        })
    }

    /// Removes what the leader of `leader_epoch` does not have: everything from `log_end` on. May block; so the role
    /// is not locked, and it is the log that refuses if another epoch begins meanwhile.
    ///
    /// # Errors
    ///
    /// See [`fjord_log::Partition::truncate_suffix`].
    pub fn truncate(
        &self,
        leader_epoch: i32,
        log_end: u64,
        done: Completion,
    ) -> Result<(), AppendError> {
        self.cut(leader_epoch, |is_wanted| {
            self.log.truncate_suffix(log_end, is_wanted, done)
        })
    }

    /// Begins anew at `offset`, with nothing: the log of the leader of `leader_epoch` starts after the end of this
    /// one, or has nothing in common with it.
    ///
    /// # Errors
    ///
    /// See [`fjord_log::Partition::truncate_all`].
    pub fn begin_anew(
        &self,
        leader_epoch: i32,
        offset: u64,
        done: Completion,
    ) -> Result<(), AppendError> {
        self.cut(leader_epoch, |is_wanted| {
            self.log.truncate_all(offset, is_wanted, done)
        })
    }

    /// Truncates while `leader_epoch` lasts. The high watermark does not reach beyond the log then; a leader has seen to
    /// that when it began.
    fn cut(
        &self,
        leader_epoch: i32,
        truncate: impl FnOnce(&dyn Fn() -> bool) -> Result<(), AppendError>,
    ) -> Result<(), AppendError> {
        truncate(&|| self.leader_epoch() == leader_epoch)?;
        let role = self.role();
        if matches!(*role, Role::Follower) {
            let log_end = self.log.positions().log_end;
            self.log
                .set_high_watermark(log_end.min(self.log.high_watermark()));
        }
        Ok(())
    }
}
