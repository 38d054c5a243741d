//! A state machine that keeps all commands with their positions.

use std::sync::{Arc, Mutex};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use fjord_quorum::{Position, RestoreError, StateMachine};

type Commands = Vec<(Position, Bytes)>;

/// The state machine. Its reply to a command is how many it has taken, this one included.
pub struct Recorder(Recorded);

/// What it has taken, for the test to look at.
#[derive(Clone, Default)]
pub struct Recorded {
    commands: Arc<Mutex<Commands>>,
    restores: Arc<Mutex<usize>>,
}

impl Recorder {
    pub fn new() -> (Self, Recorded) {
        let recorded = Recorded::default();
        (Self(recorded.clone()), recorded)
    }
}

impl Recorded {
    pub fn all(&self) -> Commands {
        self.commands.lock().expect("no panic").clone()
    }

    pub fn commands(&self) -> Vec<String> {
        let text = |(_, command): (_, Bytes)| String::from_utf8_lossy(&command).into_owned();
        self.all().into_iter().map(text).collect()
    }

    /// How often a snapshot was taken in.
    pub fn restores(&self) -> usize {
        *self.restores.lock().expect("no panic")
    }
}

impl StateMachine for Recorder {
    fn apply(&mut self, position: Position, command: &[u8]) -> Bytes {
        let mut commands = self.0.commands.lock().expect("no panic");
        if let Some((last, _)) = commands.last() {
            assert!(last.index < position.index && last.term <= position.term);
        }
        commands.push((position, Bytes::copy_from_slice(command)));
        Bytes::from(commands.len().to_string())
    }

    fn snapshot(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        for (position, command) in self.0.all() {
            bytes.put_u64(position.term);
            bytes.put_u64(position.index);
            bytes.put_u64(command.len() as u64);
            bytes.put(command);
        }
        bytes.freeze()
    }

    fn restore(&mut self, mut snapshot: &[u8]) -> Result<(), RestoreError> {
        let mut commands = Vec::new();
        while snapshot.remaining() > 0 {
            let mut number = || {
                snapshot
                    .try_get_u64()
                    .map_err(|e| RestoreError(e.to_string()))
            };
            let (term, index, length) = (number()?, number()?, number()?);
            let command = snapshot.copy_to_bytes(usize::try_from(length).expect("it fits"));
            commands.push((Position { term, index }, command));
        }
        *self.0.commands.lock().expect("no panic") = commands;
        *self.0.restores.lock().expect("no panic") += 1;
        Ok(())
    }
}
