//! The brokers of `fjord dev` as processes.

use std::{
    env,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
    time::sleep,
};

use super::layout::Layout;
use crate::failure::Failure;

/// How often a broker is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How long a process that ended stays away: long enough to see the others take over.
const RESTART_AFTER: Duration = Duration::from_secs(3);
/// So much of a log is shown when its broker does not start.
const SHOWN_LINES: usize = 10;

/// All brokers, in the order of their ids.
pub struct Running<'a> {
    program: &'a Path,
    layout: &'a Layout,
    brokers: Vec<Child>,
}

/// The broker's program: beside this one, or wherever PATH has it.
pub fn program() -> PathBuf {
    let beside = env::current_exe().map(|path| path.with_file_name("fjord-broker"));
    match beside {
        Ok(path) if path.exists() => path,
        _ => PathBuf::from("fjord-broker"),
    }
}

impl<'a> Running<'a> {
    /// Starts them all.
    ///
    /// # Errors
    ///
    /// If one cannot be started; the others end then.
    pub fn start(program: &'a Path, layout: &'a Layout) -> Result<Self, Failure> {
        fs::create_dir_all(&layout.directory).map_err(|error| Failure::File {
            what: format!("cannot make {}", layout.directory.display()),
            error,
        })?;
        let brokers = layout.ids().map(|id| spawn(program, layout, id));
        Ok(Self {
            program,
            layout,
            brokers: brokers.collect::<Result<_, _>>()?,
        })
    }

    /// The ids of their processes.
    pub fn process_ids(&self) -> Vec<u32> {
        self.brokers.iter().filter_map(Child::id).collect()
    }

    /// Waits until all serve clients.
    ///
    /// # Errors
    ///
    /// If one ends before, with the end of its log.
    pub async fn wait_ready(&mut self) -> Result<(), Failure> {
        let layout = self.layout;
        let all_ready = async {
            for id in layout.ids() {
                while !is_ready(&layout.http(id)).await.unwrap_or(false) {
                    sleep(ASK_EVERY).await;
                }
            }
        };
        tokio::select! {
            () = all_ready => Ok(()),
            (id, status) = self.next_end() => Err(Failure::Other(format!(
                "broker {id} has ended ({status}):\n{}",
                end_of(&layout.log(id))
            ))),
        }
    }

    /// Waits until one of them has ended; says which, and how.
    pub async fn next_end(&mut self) -> (u16, ExitStatus) {
        loop {
            for (id, broker) in self.layout.ids().zip(&mut self.brokers) {
                if let Ok(Some(status)) = broker.try_wait() {
                    return (id, status);
                }
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// Starts one again that has ended, after a while; returns the id of its process.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub async fn restart(&mut self, id: u16) -> Result<u32, Failure> {
        sleep(RESTART_AFTER).await;
        let broker = spawn(self.program, self.layout, id)?;
        let process = broker.id().unwrap_or_default();
        self.brokers[usize::from(id) - 1] = broker;
        Ok(process)
    }

    /// Asks them all to stop, and waits until they have.
    pub async fn stop(&mut self) {
        for broker in &self.brokers {
            let id = broker.id().and_then(|id| i32::try_from(id).ok());
            if let Some(process) = id.and_then(Pid::from_raw) {
                // It may have ended by itself just now.
                let _ = kill_process(process, Signal::TERM);
            }
        }
        for broker in &mut self.brokers {
            // What cannot be waited for has ended.
            let _ = broker.wait().await;
        }
    }
}

fn spawn(program: &Path, layout: &Layout, id: u16) -> Result<Child, Failure> {
    let path = layout.log(id);
    let failed = |what: String| move |error| Failure::File { what, error };
    let log = File::options().create(true).append(true).open(&path);
    let log = log.map_err(failed(format!("cannot write {}", path.display())))?;
    let errors = log.try_clone();
    let errors = errors.map_err(failed(format!("cannot write {}", path.display())))?;
    Command::new(program)
        .args(layout.arguments(id))
        // To this program it is the address of a broker; to a broker, a config that it does not know.
        .env_remove("FJORD_BROKER")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        // Ctrl-C is for this program, which then stops them in order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed(format!("cannot start {}", program.display())))
}

/// Whether a broker says that it serves clients.
async fn is_ready(address: &str) -> io::Result<bool> {
    let mut connection = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut status = [0; 12];
    connection.read_exact(&mut status).await?;
    Ok(status.ends_with(b" 200"))
}

fn end_of(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}
