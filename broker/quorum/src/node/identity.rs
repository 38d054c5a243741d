//! Whose disk it is, and the founding of a cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;

use super::{FoundError, Options, Quorum, StartError};
use crate::proto::{self, peer_request::Body, peer_response::Body as Answer};
use crate::store::{self, Change, Store, StoreError, Table};
use crate::types::{Member, NodeId, Runtime};

const IDENTITY: &[u8] = b"identity";

/// SplitMix64's mixing of a number.
pub(super) fn mix(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

async fn record(store: &Arc<dyn Store>, identity: &proto::Identified) -> Result<(), StoreError> {
    let value = identity.encode_to_vec();
    store.write(vec![Change::Put(Table::Meta, IDENTITY.to_vec(), value)])?;
    store::sync(store).await
}

/// Checks that the disk is this node's, or makes an empty one so.
pub(super) async fn claim(options: &Options) -> Result<proto::Identified, StartError> {
    let given = options.cluster_id.clone().unwrap_or_default();
    let Some(row) = options.store.get(Table::Meta, IDENTITY)? else {
        if options.store.last(Table::Log)?.is_some() || options.store.last(Table::Meta)?.is_some() {
            return Err(StartError::NoIdentity(options.node_id));
        }
        let identity = proto::Identified {
            node_id: options.node_id,
            incarnation: mix(options.seed).max(1),
            cluster_id: given,
            founded: false,
        };
        record(&options.store, &identity).await?;
        return Ok(identity);
    };
    let mut identity = proto::Identified::decode(row.as_slice())
        .map_err(|error| StoreError(format!("the identity cannot be read: {error}")))?;
    if identity.node_id != options.node_id {
        return Err(StartError::OtherNode {
            disk: identity.node_id,
            given: options.node_id,
        });
    }
    if identity.cluster_id.is_empty() && !given.is_empty() {
        identity.cluster_id = given;
        record(&options.store, &identity).await?;
    } else if !given.is_empty() && identity.cluster_id != given {
        return Err(StartError::OtherCluster {
            disk: identity.cluster_id,
            given,
        });
    }
    Ok(identity)
}

impl Quorum {
    /// Founds a cluster: its first start, which happens once. `voters` are the nodes with a vote and their addresses,
    /// this one among them; the others must run, with empty disks and this cluster's id, and each is asked before
    /// anything is done.
    ///
    /// # Errors
    /// There is a cluster already, or a voter is not ready. It can be tried again.
    pub async fn found(
        &self,
        cluster_id: &str,
        voters: &BTreeMap<NodeId, String>,
    ) -> Result<(), FoundError> {
        let inner = &self.inner;
        let here = self.node_id();
        if cluster_id.is_empty() {
            return Err(FoundError::EmptyClusterId);
        }
        if !voters.contains_key(&here) {
            return Err(FoundError::NotAVoter(here));
        }
        if let Some(other) = self.cluster_id().filter(|own| own != cluster_id) {
            return Err(FoundError::OtherCluster(other));
        }
        if !inner.log.is_empty()? {
            return Err(FoundError::AlreadyFounded(here));
        }
        let mut members = BTreeMap::new();
        for (&node, address) in voters {
            let incarnation = if node == here {
                inner.incarnation
            } else {
                let identified = self.identify(cluster_id, node, address).await;
                let identified = identified.map_err(|reason| FoundError::Voter { node, reason })?;
                if identified.founded {
                    return Err(FoundError::AlreadyFounded(node));
                }
                identified.incarnation
            };
            let address = address.clone();
            members.insert(
                node,
                Member {
                    address,
                    incarnation,
                },
            );
        }
        let identity = proto::Identified {
            node_id: here,
            incarnation: inner.incarnation,
            cluster_id: cluster_id.to_owned(),
            founded: false,
        };
        record(&inner.store, &identity).await?;
        // If it is set, it is this one: that was checked.
        let _set = inner.peers.cluster_id.set(cluster_id.to_owned());
        let initialize = inner.raft().initialize(members);
        Runtime::scope(inner.next_seed(), initialize)
            .await
            .map_err(|error| FoundError::Raft(error.to_string()))
    }

    /// Asks the node at `address` who it is, and checks that it is `node`, of this cluster.
    pub(super) async fn identify(
        &self,
        cluster_id: &str,
        node: NodeId,
        address: &str,
    ) -> Result<proto::Identified, String> {
        let mut request = self
            .inner
            .peers
            .request(node, 0, Body::Identify(proto::Identify {}));
        if let Some(identity) = &mut request.identity {
            cluster_id.clone_into(&mut identity.cluster_id);
        }
        let transport = &self.inner.peers.transport;
        let answer = transport
            .call(address, request, self.inner.config.call_timeout)
            .await;
        match answer.map_err(|error| error.to_string())?.body {
            Some(Answer::Identified(identified)) if identified.cluster_id == cluster_id => {
                Ok(identified)
            }
            Some(Answer::Identified(_)) => Err(format!(
                "it belongs to no cluster yet: start it with the cluster id {cluster_id}"
            )),
            Some(Answer::Refused(refused)) => Err(refused.message),
            _ => Err("it answered something else".to_owned()),
        }
    }
}
