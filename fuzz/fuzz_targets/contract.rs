//! Contracts, and proofs of them under a small policy: two provers agree, and the checker believes what is proved.
#![no_main]

use network_policy::{Contract, NetworkPolicy, ProofVerdict};

libfuzzer_sys::fuzz_target!(|line: &str| {
    let Ok(contract) = Contract::parse(line) else { return };
    assert_eq!(Contract::parse(&contract.to_string()).as_ref(), Ok(&contract));
    let policy = NetworkPolicy::default_for(&[]).compile();
    let proof = policy.prove(&contract);
    assert_eq!(proof.verdict, policy.second_opinion(&contract).verdict);
    if proof.verdict == ProofVerdict::Proved {
        let certificate = proof.certificate.unwrap_or_else(|| policy.certify(&contract));
        assert_eq!(certificate.check(policy.policy(), &contract), Ok(()));
    }
});
