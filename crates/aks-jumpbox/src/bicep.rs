//! Bicep files: what the compiler makes of them is an ARM template. We have no compiler of our own.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use document::SourceText;

use crate::errors::{Category, Failure, Problem};
use crate::input;

/// The programs that compile, and their arguments before the file's name.
const COMPILERS: [(&str, &[&str]); 2] =
    [("bicep", &["build", "--stdout"]), ("az", &["bicep", "build", "--stdout", "--file"])];

/// Reads a text file; one whose name ends in `.bicep` as the template that the compiler makes of it.
///
/// # Errors
/// When it cannot be read, no compiler is installed, or the compiler refuses it.
pub fn read(file: &Path) -> Result<SourceText, Failure> {
    match file.extension() {
        Some(end) if end.eq_ignore_ascii_case("bicep") => compiled(file),
        Some(end) if end.eq_ignore_ascii_case("bicepparam") => {
            let message =
                format!("{} is a parameter file in Bicep, which is not compiled here", file.display());
            let hint = format!(
                "`az bicep build-params --file {0}`, or `bicep build-params {0}`, makes JSON of it",
                file.display()
            );
            Err(Problem::new(Category::Input, message).in_file(file).hint(hint).into())
        }
        _ => input::read(file),
    }
}

fn compiled(file: &Path) -> Result<SourceText, Failure> {
    // A file that is not there is told as such, not as a complaint of the compiler.
    input::read(file)?;
    for (program, arguments) in COMPILERS {
        let mut command = Command::new(program);
        let output = match command.args(arguments).arg(file).stdin(Stdio::null()).output() {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(Failure::io("run", Path::new(program), &error)),
            Ok(output) => output,
        };
        let name = format!("{} (compiled)", file.display());
        return match String::from_utf8(output.stdout) {
            Ok(template) if output.status.success() => Ok(SourceText::new(name, template)),
            _ => Err(refused(file, program, &output.stderr)),
        };
    }
    let message = format!("{} is a Bicep file, and no compiler of these is installed", file.display());
    let hint = format!("compile it elsewhere (`az bicep build --file {}`) and name the JSON", file.display());
    Err(Problem::new(Category::Host, message).in_file(file).hint(hint).into())
}

fn refused(file: &Path, program: &str, complaints: &[u8]) -> Failure {
    const SHOWN: usize = 20;
    let message = format!("`{program}` could not compile {}", file.display());
    let complaints = String::from_utf8_lossy(complaints);
    let lines = complaints.lines().filter(|line| !line.trim().is_empty()).take(SHOWN);
    let clean = |line: &str| line.chars().filter(|c| !c.is_control()).collect();
    Problem::new(Category::Input, message).in_file(file).printed(lines.map(clean).collect()).into()
}
