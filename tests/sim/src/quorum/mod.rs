//! The quorum by itself: three or five voters, and others that may become some, which lose their power, their disks and
//! each other.
//!
//! ```text
//!   turbulence: every moment something fails ─► calm: all is healed, and all must be well again
//! ```

mod cluster;
mod disk;
mod history;
mod invariants;
mod machine;
mod members;
mod node;

use std::sync::Arc;
use std::time::Duration;

use tracing::info;

use self::cluster::Cluster;
use self::disk::Disk;
use self::node::Order;
use crate::faults;
use crate::verdict::Verdict;

/// How long things fail, and how long it may take until all is well afterwards: a change of members that was cut off is
/// given up after half a minute, and so may be the next one.
const TURBULENCE: Duration = Duration::from_secs(12);
const CALM: Duration = Duration::from_secs(75);
/// Longest pause between two faults, and between an election and one that comes because of it.
const FAULT_PAUSE_MS: u64 = 700;
const ELECTION_PAUSE_MS: u64 = 20;
/// Commands that clients must get through in the calm.
const ENOUGH: u64 = 20;

/// Runs one seed; returns what there is to say of it.
///
/// # Errors
/// What was violated.
pub fn run(seed: u64, verdict: &Arc<Verdict>) -> Result<String, String> {
    let mut cluster = Cluster::new(seed, verdict, 2 * (TURBULENCE + CALM));
    turbulence(&mut cluster)?;
    calm(&mut cluster)?;
    let (acknowledged, _) = cluster.history.acknowledged_so_far();
    let (terms, digest) = (cluster.history.newest_term(), cluster.history.digest());
    Ok(format!(
        "{acknowledged} acknowledged, {terms} terms, digest {digest:016x}"
    ))
}

fn turbulence(cluster: &mut Cluster<'_>) -> Result<(), String> {
    let mut next = Duration::from_secs(1);
    let (mut term, mut is_election) = (0, false);
    while cluster.now() < TURBULENCE {
        cluster.step()?;
        if cluster.now() >= next {
            harm(cluster, is_election)?;
            is_election = false;
            next = cluster.now() + cluster.dice.milliseconds(0..=FAULT_PAUSE_MS);
        }
        // The moments after an election are the ones that matter.
        let newest = cluster.history.newest_term();
        if newest > term && cluster.dice.happens(20) {
            is_election = true;
            next = cluster.now() + cluster.dice.milliseconds(0..=ELECTION_PAUSE_MS);
        }
        term = newest;
    }
    Ok(())
}

/// Something fails, or gets well again, or is changed on purpose; in an election, it is often the power.
fn harm(cluster: &mut Cluster<'_>, is_election: bool) -> Result<(), String> {
    let dice = Arc::clone(&cluster.dice);
    let (names, up) = (cluster.names(), cluster.up());
    let what = match is_election && dice.happens(50) {
        true => 9,
        false => dice.number(0..=14),
    };
    match what {
        0..=3 => faults::harm(&cluster.sim, &dice, &names),
        4..=6 => faults::heal(&cluster.sim, &names),
        _ if up.is_empty() => {}
        7 | 8 => {
            let node = dice.one_of(&up);
            info!(node, "killed");
            cluster.stop(node, Disk::process_ends);
        }
        9 => {
            for node in dice.some_of(&up) {
                info!(node, "power fails");
                cluster.stop(node, Disk::power_fails);
            }
        }
        10 => {
            info!("power fails everywhere");
            for node in up {
                cluster.stop(node, Disk::power_fails);
            }
        }
        11 => {
            let node = dice.one_of(&up);
            info!(node, "disk fails");
            cluster.disk(node).fails();
            // Its quorum ends by itself; some time later it is started again.
            for _ in 0..dice.number(1..=50) {
                cluster.step()?;
            }
            cluster.stop(node, Disk::power_fails);
        }
        12 => cluster.lose_a_disk(),
        13 => cluster.change_members(),
        _ => cluster.order(dice.one_of(&up), Order::TransferLeader),
    }
    Ok(())
}

/// Nothing fails any more: soon there is a leader, all voters have everything, and clients go on.
fn calm(cluster: &mut Cluster<'_>) -> Result<(), String> {
    info!("calm");
    faults::heal(&cluster.sim, &cluster.names());
    cluster.start_all();
    let until = cluster.now() + CALM;
    let (before, index) = cluster.history.acknowledged_so_far();
    loop {
        cluster.step()?;
        let since = cluster.history.acknowledged_so_far().0 - before;
        let voters = cluster.history.voters();
        let behind = voters
            .iter()
            .find(|id| cluster.history.applied_index(**id) < index);
        let missing = cluster.missing();
        if since >= ENOUGH && behind.is_none() && missing.is_none() {
            return Ok(());
        }
        if cluster.now() > until {
            return Err(format!(
                "not well {CALM:?} after the last fault: {since} acknowledged since, behind: {behind:?}, not replaced: \
                 {missing:?}, voters: {voters:?}"
            ));
        }
    }
}
