//! Customizers and validators.

use document::{Diagnostic, Fields, Node, Span, quote};

use super::context::{Context, FIRST, Field, Reported, optional};
use super::script::{checksum, script, uri_text};
use crate::bases::Os;
use crate::{ApiVersion, Customizer, FileStep, PowerShellStep, ShellStep, Text, Validate, Validator, lint};

pub(super) const NAME_RULE: &str = "1 to 64 letters, digits, `-`, `_` or `.`";

/// Whether a text can name a template or a run output.
pub(super) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// A step whose type says what operating system it needs.
pub(super) struct Site {
    os: Option<Os>,
    type_name: &'static str,
    span: Span,
    path: String,
}

#[derive(Clone, Copy)]
enum Kind {
    Shell,
    PowerShell,
    File,
    WindowsRestart,
    WindowsUpdate,
}

const CUSTOMIZERS: [(&str, Kind); 5] = [
    ("Shell", Kind::Shell),
    ("PowerShell", Kind::PowerShell),
    ("File", Kind::File),
    ("WindowsRestart", Kind::WindowsRestart),
    ("WindowsUpdate", Kind::WindowsUpdate),
];

const SHELL: [Field; 5] =
    [("type", FIRST), ("name", FIRST), ("scriptUri", FIRST), ("inline", FIRST), ("sha256Checksum", FIRST)];

const POWER_SHELL: [Field; 8] = [
    ("type", FIRST),
    ("name", FIRST),
    ("scriptUri", FIRST),
    ("inline", FIRST),
    ("sha256Checksum", FIRST),
    ("runElevated", FIRST),
    ("runAsSystem", FIRST),
    ("validExitCodes", FIRST),
];

const FILE: [Field; 5] = [
    ("type", FIRST),
    ("name", FIRST),
    ("sourceUri", FIRST),
    ("sha256Checksum", FIRST),
    ("destination", FIRST),
];

const RESTART: [Field; 5] = [
    ("type", FIRST),
    ("name", FIRST),
    ("restartCommand", FIRST),
    ("restartCheckCommand", FIRST),
    ("restartTimeout", FIRST),
];

const UPDATE: [Field; 5] =
    [("type", FIRST), ("name", FIRST), ("searchCriteria", FIRST), ("filters", FIRST), ("updateLimit", FIRST)];

/// Reads all steps and checks that one operating system can run them. `source` is what the source has.
pub(super) fn read_all(
    context: &mut Context,
    customize: Option<&Node<'_>>,
    validate: Option<&Node<'_>>,
    source: Option<Os>,
) -> (Option<Vec<Customizer>>, Result<Option<Validate>, Reported>) {
    let mut sites = Vec::new();
    let customizers = customize.map_or(Some(Vec::new()), |node| {
        let items = context.array(node)?;
        let steps: Vec<_> = items.iter().map(|item| customizer(context, item, &mut sites)).collect();
        steps.into_iter().collect()
    });
    let validate =
        validate.map_or(Ok(None), |node| read_validate(context, node, &mut sites).map(Some).ok_or(Reported));
    check_os(context, &sites, source);
    (customizers, validate)
}

fn read_validate(context: &mut Context, node: &Node<'_>, sites: &mut Vec<Site>) -> Option<Validate> {
    let table =
        [("inVMValidations", FIRST), ("continueDistributeOnFailure", FIRST), ("sourceValidationOnly", FIRST)];
    let fields = context.fields(node, &table)?;
    let items = match fields.get("inVMValidations") {
        Some(list) => context.array(&list)?,
        None => Vec::new(),
    };
    let validators: Vec<_> = items.iter().map(|item| validator(context, item, sites)).collect();
    let continue_distribute_on_failure = context.boolean(&fields, "continueDistributeOnFailure");
    let source_validation_only = context.boolean(&fields, "sourceValidationOnly");
    let in_vm_validations = validators.into_iter().collect::<Option<_>>()?;
    Some(Validate { in_vm_validations, continue_distribute_on_failure, source_validation_only })
}

fn customizer(context: &mut Context, node: &Node<'_>, sites: &mut Vec<Site>) -> Option<Customizer> {
    match kind(context, node, &CUSTOMIZERS, sites)? {
        Kind::Shell => shell(context, node).map(Customizer::Shell),
        Kind::PowerShell => power_shell(context, node).map(Customizer::PowerShell),
        Kind::File => file(context, node, sites).map(Customizer::File),
        Kind::WindowsRestart => restart(context, node),
        Kind::WindowsUpdate => update(context, node),
    }
}

fn validator(context: &mut Context, node: &Node<'_>, sites: &mut Vec<Site>) -> Option<Validator> {
    match kind(context, node, &CUSTOMIZERS[..3], sites)? {
        Kind::Shell => shell(context, node).map(Validator::Shell),
        Kind::PowerShell => power_shell(context, node).map(Validator::PowerShell),
        _ => {
            if context.version.max(FIRST) < ApiVersion::V2022_07_01 {
                context.too_new(node.span(), &node.path, "the validator `File`", ApiVersion::V2022_07_01);
            }
            file(context, node, sites).map(Validator::File)
        }
    }
}

/// The type of a step; notes where it stands and what operating system it needs.
fn kind(
    context: &mut Context,
    node: &Node<'_>,
    allowed: &[(&'static str, Kind)],
    sites: &mut Vec<Site>,
) -> Option<Kind> {
    if node.value.as_object().is_none() {
        context.fields(node, &[]);
        return None;
    }
    let kind = context.discriminator(node, allowed)?;
    let (os, type_name) = match kind {
        Kind::Shell => (Some(Os::Linux), "Shell"),
        Kind::PowerShell => (Some(Os::Windows), "PowerShell"),
        Kind::WindowsRestart => (Some(Os::Windows), "WindowsRestart"),
        Kind::WindowsUpdate => (Some(Os::Windows), "WindowsUpdate"),
        // Where a file may go shows below what system it is meant for.
        Kind::File => return Some(kind),
    };
    let at = node.value.get("type").map_or(node.span(), |value| value.span);
    sites.push(Site { os, type_name, span: at, path: node.path.clone() });
    Some(kind)
}

/// Windows steps cannot run on Linux, nor the reverse. Where the source does not tell, the first step does.
fn check_os(context: &mut Context, sites: &[Site], source: Option<Os>) {
    let first = sites.iter().find_map(|site| Some((site.os?, site)));
    let Some(os) = source.or(first.map(|(os, _)| os)) else { return };
    let system = |os| if os == Os::Linux { "Linux" } else { "Windows" };
    for site in sites.iter().filter(|site| site.os.is_some_and(|own| own != os)) {
        let why = match (source, first) {
            (None, Some((_, first))) => {
                format!("`{}` at {} runs on {}", first.type_name, first.path, system(os))
            }
            _ => format!("the source is {}", system(os)),
        };
        let other = if os == Os::Linux { Os::Windows } else { Os::Linux };
        let message = format!("`{}` runs on {}, but {why}", site.type_name, system(other));
        let expected = if os == Os::Linux {
            "Shell or File"
        } else {
            "PowerShell, File, WindowsRestart or WindowsUpdate"
        };
        context
            .reader
            .report(Diagnostic::error("wrong-os", site.span, message).at(&site.path).expecting(expected));
    }
}

fn label(context: &mut Context, fields: &Fields<'_>) -> Option<String> {
    fields.get("name").and_then(|name| context.reader.string(&name).map(str::to_owned))
}

fn shell(context: &mut Context, node: &Node<'_>) -> Option<ShellStep> {
    let fields = with_old_names(context, node, &SHELL)?;
    let name = label(context, &fields);
    let script = script(context, &fields, lint::script)?;
    Some(ShellStep { name, script })
}

fn power_shell(context: &mut Context, node: &Node<'_>) -> Option<PowerShellStep> {
    let fields = with_old_names(context, node, &POWER_SHELL)?;
    let name = label(context, &fields);
    let script = script(context, &fields, |_| Vec::new());
    let run_elevated = context.boolean(&fields, "runElevated");
    let run_as_system = context.boolean(&fields, "runAsSystem");
    if run_as_system
        && !run_elevated
        && let Some(node) = fields.get("runAsSystem")
    {
        let message = "`runAsSystem` works only together with `runElevated`";
        context.error(
            "run-as-system",
            &node,
            message,
            "`runElevated`: true beside it, or `runAsSystem`: false",
        );
    }
    let mut valid_exit_codes = Vec::new();
    if let Some(codes) = fields.get("validExitCodes") {
        for code in context.array(&codes)? {
            let number = context.reader.integer(&code, i64::from(i32::MIN)..=i64::from(i32::MAX))?;
            valid_exit_codes.push(i32::try_from(number).ok()?);
        }
    }
    Some(PowerShellStep { name, script: script?, run_elevated, run_as_system, valid_exit_codes })
}

/// The members of a step; the first previews called `scriptUri` `script`.
fn with_old_names<'a>(context: &mut Context, node: &Node<'a>, table: &[Field]) -> Option<Fields<'a>> {
    let mut table = table.to_vec();
    if context.version < ApiVersion::V2019_05_01Preview {
        table.push(("script", FIRST));
    }
    context.fields(node, &table)
}

fn file(context: &mut Context, node: &Node<'_>, sites: &mut Vec<Site>) -> Option<FileStep> {
    let fields = context.fields(node, &FILE)?;
    let name = label(context, &fields);
    let source = context.reader.required(&fields, "sourceUri");
    let sha256 = source.as_ref().map(|source| checksum(context, &fields, source));
    let source_uri = source.and_then(|source| uri_text(context, &source));
    let destination =
        context.reader.required(&fields, "destination").and_then(|node| destination(context, &node, sites));
    Some(FileStep { name, source_uri: source_uri?, sha256: sha256?.ok()?, destination: destination? })
}

/// Where a file goes. The shape of the path shows the system: `/...` is Linux, `C:\...` is Windows.
fn destination(context: &mut Context, node: &Node<'_>, sites: &mut Vec<Site>) -> Option<Text> {
    const RULE: &str =
        "an absolute path with a file name: below `/tmp/` on Linux, such as `C:\\Temp\\a.txt` on Windows";
    let text = context.text(node)?;
    let Some(path) = text.known() else { return Some(text) };
    let drive = path.as_bytes();
    let windows =
        drive.len() > 3 && drive[0].is_ascii_alphabetic() && drive[1] == b':' && b"\\/".contains(&drive[2]);
    let problem = if windows {
        path.ends_with(['\\', '/']).then(|| "names a folder, not a file".to_owned())
    } else if !path.starts_with('/') {
        Some("is not an absolute path".to_owned())
    } else if path.ends_with('/') {
        Some("names a folder, not a file".to_owned())
    } else if !path.starts_with("/tmp/") || path.split('/').any(|part| part == "..") {
        Some("is not below `/tmp/`, the only place that the service writes to on Linux".to_owned())
    } else {
        None
    };
    if let Some(problem) = problem {
        context.error("bad-destination", node, format!("{} {problem}", quote(path)), RULE);
        return None;
    }
    let os = Some(if windows { Os::Windows } else { Os::Linux });
    sites.push(Site { os, type_name: "File", span: node.span(), path: node.path.clone() });
    Some(text)
}

fn plain(context: &mut Context, fields: &Fields<'_>, name: &str) -> Option<String> {
    let node = optional(fields, name)?;
    context.reader.string(&node).map(str::to_owned)
}

fn restart(context: &mut Context, node: &Node<'_>) -> Option<Customizer> {
    let fields = context.fields(node, &RESTART)?;
    let restart_timeout = match optional(&fields, "restartTimeout") {
        Some(timeout) => {
            let expected = "a number and a unit, such as `5m` or `2h`";
            Some(context.shaped(&timeout, expected, is_duration)?.to_string())
        }
        None => None,
    };
    Some(Customizer::WindowsRestart {
        name: label(context, &fields),
        restart_command: plain(context, &fields, "restartCommand"),
        restart_check_command: plain(context, &fields, "restartCheckCommand"),
        restart_timeout,
    })
}

/// Numbers with units, such as `1h30m`.
fn is_duration(text: &str) -> bool {
    let mut units = text.split_inclusive(['h', 'm', 's']);
    units.all(|part| {
        let number = part.trim_end_matches(['h', 'm', 's']);
        part.len() == number.len() + 1
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn update(context: &mut Context, node: &Node<'_>) -> Option<Customizer> {
    let fields = context.fields(node, &UPDATE)?;
    let filters = match fields.get("filters") {
        Some(filters) => context.array(&filters).and_then(|_| context.reader.strings(&filters))?,
        None => Vec::new(),
    };
    Some(Customizer::WindowsUpdate {
        name: label(context, &fields),
        search_criteria: plain(context, &fields, "searchCriteria"),
        filters,
        update_limit: context.integer(&fields, "updateLimit", 0..=i32::MAX.unsigned_abs(), 0),
    })
}
