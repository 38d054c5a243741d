//! How a broker becomes a member of the quorum: it founds the cluster with the other voters, or asks to be taken in.
//!
//! - The voter with the lowest id founds, once all voters answer, are empty, and have the same cluster id. Whoever has
//!   the disk of a founded cluster keeps that from happening, so that nobody founds a second one.
//! - Any other broker with an empty disk asks the peers that it was given to be taken in. A voter that has lost its
//!   disk has forgotten its votes, so it is not the member that it was: it is removed and added again.
//! - A broker whose disk has the quorum's log is a member already.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use fjord_proto::peer::v1::{JoinRequest, JoinResponse};
use fjord_quorum::{ChangeError, FoundError, Member, NodeId, Quorum};
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;
use tracing::{debug, info, warn};

use super::{channels::Channels, error::StartError};
use crate::{config::ClusterConfig, metadata::commands::RegistrationError};

/// Pause between two tries.
const RETRY: Duration = Duration::from_millis(200);
/// How long a peer may take to take a broker in: its state is copied first.
const JOIN_TIMEOUT: Duration = Duration::from_secs(60);
/// How much longer than a session lasts a broker waits for its former self to be forgotten.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is said that others are waited for.
const TRIES_BETWEEN_NOTICES: u32 = 50;

/// The quorum's number of a broker.
pub fn node(broker_id: i32) -> NodeId {
    u64::try_from(broker_id).expect("node.id was checked not to be negative")
}

/// Makes this broker a member, unless it is one. Returns when it knows the leader.
///
/// # Errors
/// The cluster is another one.
pub async fn found_or_join(
    quorum: &Quorum,
    config: &ClusterConfig,
    own_address: &str,
    channels: &Channels,
) -> Result<(), StartError> {
    let founder = config.voters.keys().next().copied().map(node);
    let mut is_founder = founder == Some(quorum.node_id());
    let deadline = Instant::now() + config.session_timeout + PATIENCE;
    let mut tries = 0_u32;
    while !knows_leader(quorum) {
        if quorum.metrics().last_log_index.is_none() {
            let outcome = match is_founder {
                true => found(quorum, config, &mut is_founder).await,
                false => join(quorum, config, own_address, channels, deadline).await,
            };
            match outcome? {
                None => {}
                Some(reason) if tries.is_multiple_of(TRIES_BETWEEN_NOTICES) => {
                    info!(reason, "waiting for the other brokers of the cluster");
                }
                Some(reason) => debug!(reason, "waiting for the other brokers of the cluster"),
            }
        } else if tries % TRIES_BETWEEN_NOTICES == TRIES_BETWEEN_NOTICES - 1 {
            info!("waiting for a leader of the metadata's quorum");
        }
        tries = tries.wrapping_add(1);
        sleep(RETRY).await;
    }
    Ok(())
}

fn knows_leader(quorum: &Quorum) -> bool {
    let state = quorum.watch();
    let state = state.borrow();
    state.leader.is_some() && state.members.contains_key(&quorum.node_id())
}

/// Founds the cluster. Returns why that has to be tried again.
async fn found(
    quorum: &Quorum,
    config: &ClusterConfig,
    is_founder: &mut bool,
) -> Result<Option<String>, StartError> {
    let voters = config.voters.iter();
    let voters = voters.map(|(id, address)| (node(*id), address.to_string()));
    let cluster_id = quorum.cluster_id().unwrap_or_default();
    match quorum.found(&cluster_id, &voters.collect()).await {
        Ok(()) => {
            info!(cluster_id, "founded the cluster");
            Ok(None)
        }
        Err(FoundError::AlreadyFounded(by)) => {
            info!(node = by, "the cluster has been founded before; joining it");
            *is_founder = false;
            Ok(None)
        }
        Err(error @ FoundError::Store(_)) => Err(StartError::Found(error)),
        Err(error) => Ok(Some(error.to_string())),
    }
}

/// Asks the peers to be taken in, and whom they name as the leader. Returns why that has to be tried again.
async fn join(
    quorum: &Quorum,
    config: &ClusterConfig,
    own_address: &str,
    channels: &Channels,
    deadline: Instant,
) -> Result<Option<String>, StartError> {
    let own = quorum.node_id();
    let broker_id = i32::try_from(own).expect("it was made from node.id");
    let request = JoinRequest {
        cluster_id: quorum.cluster_id().unwrap_or_default(),
        broker_id,
        incarnation: quorum.incarnation(),
        address: own_address.to_owned(),
        voter: config.voters.contains_key(&broker_id),
    };
    let voters = config.voters.iter().filter(|(id, _)| node(**id) != own);
    let voters = voters.map(|(_, address)| address.to_string());
    let peers = voters.chain(config.bootstrap.iter().map(ToString::to_string));
    let mut peers: VecDeque<String> = peers.filter(|peer| peer != own_address).collect();
    let mut asked = BTreeSet::new();
    let mut reason = "there are no peers to join by".to_owned();
    while let Some(peer) = peers.pop_front() {
        if !asked.insert(peer.clone()) {
            continue;
        }
        let response = match ask(channels, &peer, &request).await? {
            Ok(response) => response,
            Err(why) => {
                reason = why;
                continue;
            }
        };
        if response.refused.is_empty() {
            return Ok(None);
        }
        if response.duplicate && Instant::now() > deadline {
            return Err(RegistrationError::Duplicate(broker_id).into());
        }
        reason = format!("{peer}: {}", response.refused);
        if !response.leader.is_empty() {
            peers.push_front(response.leader);
        }
    }
    Ok(Some(reason))
}

/// Asks one peer; the inner error says why to ask another one.
async fn ask(
    channels: &Channels,
    peer: &str,
    request: &JoinRequest,
) -> Result<Result<JoinResponse, String>, StartError> {
    let mut client = match channels.controller(peer) {
        Ok(client) => client,
        Err(error) => return Ok(Err(format!("{peer}: {error}"))),
    };
    match timeout(JOIN_TIMEOUT, client.join(request.clone())).await {
        Ok(Ok(response)) => Ok(Ok(response.into_inner())),
        Ok(Err(status)) if status.code() == Code::FailedPrecondition => Err(StartError::Refused {
            peer: peer.to_owned(),
            reason: status.message().to_owned(),
        }),
        Ok(Err(status)) => Ok(Err(format!("{peer}: {}", status.message()))),
        Err(_) => Ok(Err(format!("{peer} did not answer in time"))),
    }
}

/// Takes a broker with an empty disk in, on behalf of the quorum. `is_alive`: whether a broker with this id is heard of;
/// nothing where this broker does not lead, and therefore does not know.
pub async fn take_in(
    quorum: &Quorum,
    request: &JoinRequest,
    is_alive: Option<bool>,
) -> JoinResponse {
    let refused = |refused: &str| JoinResponse {
        refused: refused.to_owned(),
        ..JoinResponse::default()
    };
    let Ok(joining) = u64::try_from(request.broker_id) else {
        return refused("a negative node.id");
    };
    let (member, has_vote, leader) = {
        let state = quorum.watch();
        let state = state.borrow();
        let leader = state.leader.filter(|leader| *leader != quorum.node_id());
        let leader = leader.and_then(|leader| state.members.get(&leader));
        (
            state.members.get(&joining).cloned(),
            state.voters.contains(&joining),
            leader.map(|leader| leader.address.clone()),
        )
    };
    let Some(is_alive) = is_alive else {
        return JoinResponse {
            leader: leader.unwrap_or_default(),
            ..refused("it does not lead the metadata's quorum")
        };
    };
    let is_same = |member: &Member| member.incarnation == request.incarnation;
    if is_alive && !member.as_ref().is_some_and(is_same) {
        return JoinResponse {
            duplicate: true,
            ..refused("another process is alive under this node.id")
        };
    }
    match change(quorum, request, joining, member, has_vote).await {
        Ok(()) => {
            info!(
                broker_id = joining,
                address = request.address,
                "a broker joined the metadata's quorum"
            );
            JoinResponse::default()
        }
        Err(error) => refused(&error.to_string()),
    }
}

/// Makes the changes of members that it takes.
async fn change(
    quorum: &Quorum,
    request: &JoinRequest,
    joining: NodeId,
    member: Option<Member>,
    has_vote: bool,
) -> Result<(), ChangeError> {
    let address = request.address.as_str();
    match member {
        Some(member) if member.incarnation == request.incarnation => {
            match request.voter && !has_vote {
                true => quorum.add_voter(joining, address).await,
                // The leader brings it what it needs.
                false => Ok(()),
            }
        }
        Some(_) => {
            warn!(
                broker_id = joining,
                "a broker of the quorum comes back with an empty disk"
            );
            quorum.remove_voter(joining).await?;
            add(quorum, request, joining).await
        }
        None => add(quorum, request, joining).await,
    }
}

async fn add(quorum: &Quorum, request: &JoinRequest, joining: NodeId) -> Result<(), ChangeError> {
    match request.voter {
        true => quorum.add_voter(joining, &request.address).await,
        false => quorum.add_learner(joining, &request.address).await,
    }
}
