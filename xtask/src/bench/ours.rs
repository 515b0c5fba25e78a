//! Our own scenarios.

use std::cell::LazyCell;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Bench, Row, checked, write};
use crate::Stop;
use crate::process::{cargo, output};

/// The scenario that other tools are compared in.
pub const JQ: &str = "cached base: install jq, write a file, to VHD";
/// A sandbox that runs nothing, from the call to its end: needs no base.
const START: &str = "sandbox start";
/// From nothing: the base, too.
pub const NOTHING: &str = "no cache: base, install jq, write a file, to VHD";

/// Measures every scenario that is wanted.
pub fn measure(bench: &Bench, wanted: &dyn Fn(&str) -> bool) -> Vec<Row> {
    // Made once, where it is wanted at all, outside every measured time.
    let base = LazyCell::new(|| make_base(bench).map_err(|stop| format!("no base: {}", stop.message)));
    let mut rows = Vec::new();
    let mut add = |scenario, promise, seconds: &dyn Fn() -> Result<Vec<f64>, String>| {
        if wanted(scenario) {
            eprintln!("  {scenario} ...");
            let seconds = base.clone().and_then(|()| seconds());
            rows.push(Row { scenario, by: "aks-jumpbox", seconds, promise });
        }
    };
    add(JQ, Some(4.0), &|| {
        bench.time(|run| {
            let file = template(bench, "jq", &[jq_step(run)]).map_err(|stop| stop.message)?;
            build(bench, &file, "jq").map_err(|stop| stop.message)
        })
    });
    add("nothing changed", Some(0.2), &|| {
        let file = template(bench, "jq", &[jq_step(0)]).map_err(|stop| stop.message)?;
        let again = || build(bench, &file, "jq").map_err(|stop| stop.message);
        checked(&mut again()?)?;
        bench.time(|_| again())
    });
    // The step itself takes next to nothing, so the promise "the step plus 2 s" is 2 s.
    add("last of ten steps changed", Some(2.0), &|| {
        bench.time(|run| {
            let ten = |last: String| {
                let mut steps: Vec<_> =
                    (1..10).map(|step| write_step(&format!("step-{step}"), step)).collect();
                steps.push(last);
                template(bench, "ten", &steps).and_then(|file| build(bench, &file, "ten"))
            };
            checked(&mut ten("true".to_owned()).map_err(|stop| stop.message)?)?;
            ten(write_step("step-10", run)).map_err(|stop| stop.message)
        })
    });
    add("boot to first SSH command", Some(45.0), &|| (0..bench.runs).map(|_| boot_seconds(bench)).collect());
    add(NOTHING, None, &|| {
        bench.time(|run| {
            let file = template(bench, "nothing", &[jq_step(0)]).map_err(|stop| stop.message)?;
            let cache = bench.folder(&format!("cache-{run}")).map_err(|stop| stop.message)?;
            let mut command = build(bench, &file, "nothing").map_err(|stop| stop.message)?;
            command.arg("--cache-dir").arg(cache);
            Ok(command)
        })
    });
    if wanted(START) {
        eprintln!("  {START} ...");
        rows.push(Row { scenario: START, by: "aks-jumpbox", seconds: sandbox_starts(), promise: Some(0.01) });
    }
    rows
}

fn make_base(bench: &Bench) -> Result<(), Stop> {
    let file = template(bench, "base", &[])?;
    checked(&mut build(bench, &file, "base")?).map(drop).map_err(Stop::not_able)
}

/// A different script each run, so that its layer is never there already.
pub fn jq_step(run: usize) -> String {
    format!("sudo apt-get update\nsudo apt-get install --yes jq\n{}", write_step("built-by", run))
}

/// A line that writes a small file. What it writes was never written before: layers of an earlier measurement are in the
/// cache, too.
fn write_step(name: &str, content: usize) -> String {
    static BEGAN: LazyLock<u128> =
        LazyLock::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos()));
    format!("echo {content}-{} | sudo tee /etc/{name} > /dev/null", *BEGAN)
}

/// Writes a template with these inline scripts, one customizer each.
pub fn template(bench: &Bench, name: &str, scripts: &[String]) -> Result<PathBuf, Stop> {
    let customizers: Vec<_> = scripts
        .iter()
        .enumerate()
        .map(|(index, script)| {
            let lines: Vec<_> = script.lines().map(|line| format!("\"{line}\"")).collect();
            format!(
                "{{\"type\": \"Shell\", \"name\": \"step {}\", \"inline\": [{}]}}",
                index + 1,
                lines.join(", ")
            )
        })
        .collect();
    let identity = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/\
                    Microsoft.ManagedIdentity/userAssignedIdentities/builder";
    let text = format!(
        r#"{{
  "type": "Microsoft.VirtualMachineImages/imageTemplates",
  "apiVersion": "2024-02-01",
  "location": "eastus2",
  "identity": {{"type": "UserAssigned", "userAssignedIdentities": {{"{identity}": {{}}}}}},
  "properties": {{
    "source": {{"type": "PlatformImage", "publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest"}},
    "customize": [{}],
    "distribute": [{{"type": "VHD", "runOutputName": "{name}"}}]
  }}
}}
"#,
        customizers.join(", ")
    );
    let file = bench.folder.join(format!("{name}.json"));
    write(&file, &text)?;
    Ok(file)
}

pub fn build(bench: &Bench, template: &std::path::Path, name: &str) -> Result<Command, Stop> {
    let mut command = crate::process::command(&bench.program, &["build", "--quiet", "--template"]);
    command.arg(template).arg("--output").arg(bench.folder(&format!("out-{name}"))?);
    Ok(command)
}

/// The disk of the base alone.
pub fn base_disk(bench: &Bench) -> PathBuf {
    bench.folder.join("out-base/base.vhd")
}

/// Boots the base and reads `boot_seconds` from the answer. The bare base has no posture to speak of, so that the
/// tests' own verdict does not count here.
fn boot_seconds(bench: &Bench) -> Result<f64, String> {
    let mut boot = crate::process::command(&bench.program, &["try", "--quiet", "--format", "json"]);
    let answer = output(boot.arg(base_disk(bench))).map_err(|stop| stop.message)?;
    let text = String::from_utf8_lossy(&answer.stdout);
    number_after(&text, "\"boot_seconds\":").ok_or_else(|| format!("it did not boot: {}", text.trim()))
}

/// Seconds of many starts of a sandbox that runs nothing.
fn sandbox_starts() -> Result<Vec<f64>, String> {
    let arguments = ["run", "--release", "--quiet", "--package", "sandbox", "--example", "start"];
    let printed = checked(&mut cargo(&arguments))?;
    printed.lines().map(|line| line.parse().map_err(|_| format!("not a number: {line}"))).collect()
}

fn number_after(text: &str, label: &str) -> Option<f64> {
    let rest = text.split_once(label)?.1.trim_start();
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::number_after;

    #[test]
    fn a_number_is_found_behind_its_label() {
        assert_eq!(number_after("{\"boot_seconds\": 36.5,\"x\":1}", "\"boot_seconds\":"), Some(36.5));
        assert_eq!(number_after("{}", "\"boot_seconds\":"), None);
    }
}
