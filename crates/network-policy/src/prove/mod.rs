//! Proofs.
use crate::{CompiledPolicy, Contract, Proof, ProofVerdict};

pub(crate) fn prove(_policy: &CompiledPolicy, _contract: &Contract) -> Proof {
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
