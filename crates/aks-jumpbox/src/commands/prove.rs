//! `prove`: whether contracts hold for every packet they describe.

use std::path::PathBuf;

use document::{Diagnostic, SourceText, Span};
use network_policy::{CompiledPolicy, Contract, ContractError, Proof, ProofVerdict};

use crate::context::Context;
use crate::errors::{Category, Failure, Problem};
use crate::exit::ExitStatus;
use crate::output::{self, Format};
use crate::show::proof::{self, Answer, Report};
use crate::{input, rules};

/// Prove or refute that network rules keep contracts, for every packet
///
/// A contract is one line: allow|deny inbound|outbound PROTOCOL FROM[:PORTS] -> TO[:PORTS], where an end is an address,
/// a CIDR prefix, a service tag or `*`. `allow` holds when every packet described is allowed, `deny` when every one is
/// denied.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 every contract is proved, 1 one is refuted, 2 a contract or a file is wrong, 3 none is \
    refuted and one depends on what was not given.\n\nExamples:\n  \
    aks-jumpbox prove --nsg nsg.json --virtual-network 10.241.0.0/24 --subnet 10.241.0.0/28 --contracts contracts.txt\n  \
    aks-jumpbox prove --environment environment.toml --contract 'deny outbound udp * -> Internet:123'\n  \
    aks-jumpbox prove --nsg nsg.json --contracts contracts.txt --format json"
)]
pub struct Arguments {
    #[command(flatten)]
    rules: rules::Arguments,
    /// A contract; may be given several times
    #[arg(long, value_name = "TEXT", help_heading = "Contracts")]
    contract: Vec<String>,
    /// A file of contracts, one a line; `#` begins a comment; may be given several times
    #[arg(long, value_name = "FILE", help_heading = "Contracts")]
    contracts: Vec<PathBuf>,
    /// Also show every part of a contract with the rules that decide it, checked by code that shares nothing with the prover
    #[arg(long, help_heading = "Contracts")]
    certificate: bool,
}

/// Proves each contract.
pub fn run(args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    let contracts = args.contracts()?;
    let rules = args.rules.load()?;
    let policy = rules.policy.compile();
    let mut answers = Vec::new();
    for contract in contracts {
        let mut proof = policy.prove(&contract);
        if args.certificate {
            certify(&policy, &contract, &mut proof)?;
        }
        answers.push(Answer { contract, proof });
    }
    let status = proof::status(&answers);
    match context.output.format {
        Format::Json => output::json(&Report::of(&answers, rules.warnings))?,
        Format::Text => {
            rules.warnings.iter().for_each(|warning| context.output.warn(warning));
            let mut text = proof::text(&answers, context.output);
            if args.certificate {
                text += &proof::certificates(&answers, context.output);
            }
            output::print(&text)?;
            let open = |answer: &Answer| answer.proof.open.iter().any(|what| what.contains("service tag"));
            if answers.iter().any(open) && policy.policy().context.tags.source().is_empty() {
                context.output.note("hint: --service-tags FILE tells what service tags hold: Microsoft publishes the file every week");
            }
        }
    }
    Ok(status)
}

/// Sees to it that there is a certificate and, when the contract is said to be proved, that it says so to the checker,
/// which shares nothing with the prover.
fn certify(policy: &CompiledPolicy, contract: &Contract, proof: &mut Proof) -> Result<(), Failure> {
    let certificate = proof.certificate.get_or_insert_with(|| policy.certify(contract));
    if proof.verdict != ProofVerdict::Proved {
        return Ok(());
    }
    certificate.check(policy.policy(), contract).map_err(|error| {
        Problem::new(Category::Internal, format!("the certificate of '{contract}' proves nothing"))
            .caused_by(&error)
            .into()
    })
}

impl Arguments {
    /// Every contract of the arguments, then of the files.
    ///
    /// # Errors
    /// Every line that is none; and when there is none at all, for a proof of nothing is no proof.
    fn contracts(&self) -> Result<Vec<Contract>, Failure> {
        let mut sources: Vec<_> =
            self.contract.iter().map(|text| SourceText::new("--contract", text.as_str())).collect();
        for file in &self.contracts {
            sources.push(input::read(file)?);
        }
        let (mut contracts, mut problems) = (Vec::new(), Vec::new());
        for source in &sources {
            for read in lines(source) {
                match read {
                    Ok(contract) => contracts.push(contract),
                    Err(wrong) => problems.push(Problem::in_document(Category::Input, &wrong, source)),
                }
            }
        }
        if !problems.is_empty() {
            return Err(Failure::several(problems));
        }
        if contracts.is_empty() {
            return Err(Problem::new(Category::Input, "there is no contract to prove")
                .hint("give one with --contract 'deny outbound udp * -> Internet:123', or a file with --contracts FILE")
                .into());
        }
        Ok(contracts)
    }
}

/// The contracts of a text; empty lines and comments are none.
fn lines(source: &SourceText) -> impl Iterator<Item = Result<Contract, Diagnostic>> {
    let mut start = 0;
    source.text().split_inclusive('\n').filter_map(move |whole| {
        let begins = start;
        start += whole.len();
        let line = whole.split('#').next().unwrap_or_default().trim_end();
        let line = line.strip_prefix('\u{feff}').unwrap_or(line);
        let begins = begins + (whole.len() - whole.trim_start_matches('\u{feff}').len());
        if line.trim().is_empty() {
            return None;
        }
        Some(Contract::parse(line).map_err(|error| diagnostic(&error, line, begins)))
    })
}

/// The word at the error's column is marked.
fn diagnostic(error: &ContractError, line: &str, begins: usize) -> Diagnostic {
    let at = line.char_indices().nth(error.column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
    let word = line[at..].split_whitespace().next().map_or(0, str::len);
    let span = Span::new(begins + at, begins + at + word);
    let found = Diagnostic::error("bad-contract", span, &error.message).expecting(&error.expected);
    match &error.hint {
        Some(hint) => found.hinting(hint),
        None => found,
    }
}
