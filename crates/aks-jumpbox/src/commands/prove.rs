//! `prove`: whether contracts hold for every packet they describe.

use std::path::{Path, PathBuf};

use document::{Diagnostic, SourceText, Span};
use network_policy::{CompiledPolicy, Contract, ContractError, NetworkPolicy, Proof, ProofVerdict};

use crate::context::Context;
use crate::errors::{Category, Failure, Problem};
use crate::exit::ExitStatus;
use crate::output::{self, Format, Output};
use crate::show::excess;
use crate::show::proof::{self, Answer, Answers, Report};
use crate::show::repair::{self, Language};
use crate::{input, rules};

/// Prove or refute that network rules keep contracts, for every packet
///
/// A contract is one line: allow|deny inbound|outbound PROTOCOL FROM[:PORTS] -> TO[:PORTS], where an end is an address,
/// a CIDR prefix, a service tag, `*` or, where an outbound flow goes, a host name such as `*.example.org`. `allow` holds
/// when every packet described is allowed, `deny` when every one is denied.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 every contract is proved, 1 one is refuted or, with --excess, the rules allow more, 2 a \
    contract or a file is wrong, 3 it depends on what was not given.\n\nExamples:\n  \
    aks-jumpbox prove --nsg nsg.json --virtual-network 10.241.0.0/24 --subnet 10.241.0.0/28 --contracts contracts.txt\n  \
    aks-jumpbox prove --environment environment.toml --contract 'deny outbound udp * -> Internet:123'\n  \
    aks-jumpbox prove --nsg nsg.json --contracts contracts.txt --repair=terraform\n  \
    aks-jumpbox prove --environment environment.toml --excess contracts.txt\n  \
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
    /// Also show the fewest security rules that would make refuted contracts hold [written for: az, arm or terraform]
    #[arg(
        long,
        value_name = "LANGUAGE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "az",
        help_heading = "Contracts"
    )]
    repair: Option<Language>,
    /// Also show what the rules allow beyond the contracts of this file, the largest first
    #[arg(long, value_name = "CONTRACTS", help_heading = "Contracts")]
    excess: Option<PathBuf>,
}

/// Proves each contract.
pub fn run(args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    let contracts = args.contracts()?;
    let wanted = args.excess.as_deref().map(wanted).transpose()?;
    let rules = args.rules.load()?;
    let answers = answers(args, contracts, wanted.as_deref(), &rules.policy)?;
    match context.output.format {
        Format::Json => output::json(&Report::of(&answers, rules.warnings))?,
        Format::Text => {
            rules.warnings.iter().for_each(|warning| context.output.warn(warning));
            output::print(&text(args, &answers, context.output))?;
            hint(args, &answers, &rules.policy, context);
        }
    }
    Ok(answers.status())
}

/// Every question of the arguments, answered.
fn answers(
    args: &Arguments,
    contracts: Vec<Contract>,
    wanted: Option<&[Contract]>,
    rules: &NetworkPolicy,
) -> Result<Answers, Failure> {
    let policy = rules.compile();
    let repair = args.repair.map(|_| rules.repair(&contracts));
    let excess = wanted.map(|wanted| rules.excess(wanted));
    let mut answers = Vec::new();
    for contract in contracts {
        let mut proof = policy.prove(&contract);
        if args.certificate {
            certify(&policy, &contract, &mut proof)?;
        }
        answers.push(Answer { contract, proof });
    }
    Ok(Answers { contracts: answers, repair, excess })
}

fn text(args: &Arguments, answers: &Answers, output: Output) -> String {
    let Answers { contracts, repair, excess } = answers;
    let mut text = String::new();
    if !contracts.is_empty() {
        text += &proof::text(contracts, output);
    }
    if args.certificate {
        text += &proof::certificates(contracts, output);
    }
    if let (Some(repair), Some(language)) = (repair, args.repair) {
        text += &repair::text(repair, language, output);
    }
    if let Some(excess) = excess {
        text += &excess::text(excess, output);
    }
    text.trim_start_matches('\n').to_owned()
}

/// What to ask next.
fn hint(args: &Arguments, answers: &Answers, rules: &NetworkPolicy, context: &Context) {
    let any = |test: fn(&Proof) -> bool| answers.contracts.iter().any(|answer| test(&answer.proof));
    if rules.context.tags.source().is_empty()
        && any(|proof| proof.open.iter().any(|what| what.contains("service tag")))
    {
        context.output.note(
            "hint: --service-tags FILE tells what service tags hold: Microsoft publishes the file every week",
        );
    }
    if args.repair.is_none() && any(|proof| proof.verdict == ProofVerdict::Refuted) {
        context.output.note("hint: --repair shows the security rules that would make refuted contracts hold");
    }
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
        let contracts = read(&sources)?;
        if contracts.is_empty() && self.excess.is_none() {
            return Err(Problem::new(Category::Input, "there is no contract to prove")
                .hint("give one with --contract 'deny outbound udp * -> Internet:123', or a file with --contracts FILE")
                .into());
        }
        Ok(contracts)
    }
}

/// The contracts of a file that says what is wanted; none at all means that nothing is.
fn wanted(file: &Path) -> Result<Vec<Contract>, Failure> {
    read(&[input::read(file)?])
}

/// # Errors
/// Every line that is no contract.
fn read(sources: &[SourceText]) -> Result<Vec<Contract>, Failure> {
    let (mut contracts, mut problems) = (Vec::new(), Vec::new());
    for source in sources {
        for read in lines(source) {
            match read {
                Ok(contract) => contracts.push(contract),
                Err(wrong) => problems.push(Problem::in_document(Category::Input, &wrong, source)),
            }
        }
    }
    if problems.is_empty() { Ok(contracts) } else { Err(Failure::several(problems)) }
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
