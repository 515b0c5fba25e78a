//! The tests of a trial for a machine that no SSH connection reaches: one script that the platform's agent runs as root, and
//! whose answer is read in pieces, since agents tell little at a time. What is asked, and how it is judged, is the same as
//! over SSH ([`super::smoke`]); the logins that have to be refused are tried inside the machine.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use super::machine::{ASK_IDENTITY, Identity};
use super::report::{Status, TestResult};
use super::seed::{ADMIN, PASSWORD_USER};
use super::serial::plain_text;
use super::smoke::{
    self, ASK_ROOT_KEY, ASK_SIZE, ASK_UNITS, ASK_USERS, FRESH_IDENTITY, Outcome, SmokeTest, ask_settings,
    judge_identities,
};
use super::ssh::Output;

/// The account that the machine has to have, with sudo: the tests are run by it.
pub const ADMIN_ACCOUNT: &str = ADMIN;

/// Name of the test that needs a second machine.
pub const SECOND_MACHINE: &str = FRESH_IDENTITY;

/// Bytes of a piece: less than the 4,096 that Azure's run command keeps of what a script prints.
const PIECE: usize = 3000;
/// Pieces that an answer has at most.
const MOST_PIECES: usize = 100;

/// The machine's answer is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the machine did not answer the tests' script as expected: {0}")]
pub struct NoAnswer(String);

/// What was found in a machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Examined {
    /// The tests, in the order in which they ran.
    pub tests: Vec<TestResult>,
    /// What another machine of the same image must not share; none when it could not be seen.
    pub identity: Option<Identity>,
}

/// How a question's answers are judged.
type Judge<'a> = Box<dyn Fn(&[Output]) -> Outcome + 'a>;

/// A test: commands for the shell of the administrator, and the judgement of what they print.
struct Question<'a> {
    name: String,
    commands: Vec<String>,
    judge: Judge<'a>,
}

/// Runs the tests of a recipe and those of the posture. `image_size` has the bytes of the image, where they are known; the
/// machine's disk has to be larger. `run` has a script run as root and returns what it prints.
///
/// # Errors
/// What `run` fails with, or that the answer is none. A test that fails is in the result.
pub fn examine<E: From<NoAnswer>>(
    tests: &[SmokeTest],
    image_size: Option<u64>,
    run: &mut dyn FnMut(&str) -> Result<String, E>,
) -> Result<Examined, E> {
    let questions = questions(tests, image_size);
    let mut commands: Vec<_> = questions.iter().flat_map(|question| question.commands.clone()).collect();
    commands.push(ASK_IDENTITY.to_owned());
    let mut answers = ask(&commands, run)?.into_iter();
    let mut results = Vec::new();
    for Question { name, commands, judge } in questions {
        let own: Vec<_> = answers.by_ref().take(commands.len()).collect();
        let seconds = own.iter().map(|(_, seconds)| seconds).sum();
        let outputs: Vec<_> = own.into_iter().map(|(output, _)| output).collect();
        let (status, detail) = judge(&outputs);
        results.push(TestResult { name, status, detail: plain_text(detail.as_bytes()), seconds });
    }
    let identity = answers.next().and_then(|(output, _)| Identity::read(&output));
    Ok(Examined { tests: results, identity })
}

/// Asks a machine what another one of the same image must not share.
///
/// # Errors
/// As [`examine`].
pub fn identity_of<E: From<NoAnswer>>(
    run: &mut dyn FnMut(&str) -> Result<String, E>,
) -> Result<Option<Identity>, E> {
    let answers = ask(&[ASK_IDENTITY.to_owned()], run)?;
    Ok(answers.first().and_then(|(output, _)| Identity::read(output)))
}

/// Judges whether two machines of one image are two.
pub fn judge_second(first: Option<&Identity>, second: Option<&Identity>, seconds: f64) -> TestResult {
    let (status, detail) = match (first, second) {
        (Some(first), Some(second)) => judge_identities(first, second),
        _ => (Status::Fail, "could not tell the machine-id and the host keys".to_owned()),
    };
    TestResult { name: SECOND_MACHINE.to_owned(), status, detail, seconds }
}

fn questions(tests: &[SmokeTest], image_size: Option<u64>) -> Vec<Question<'_>> {
    let own = tests.iter().map(|test| Question {
        name: test.name.clone(),
        commands: vec![test.run.clone()],
        judge: Box::new(move |outputs| smoke::judge(test, &outputs[0])),
    });
    let simple = |name: &str, command: &str, judge: fn(&Output) -> Outcome| Question {
        name: name.to_owned(),
        commands: vec![command.to_owned()],
        judge: Box::new(move |outputs: &[Output]| judge(&outputs[0])),
    };
    let login = |name: &str, commands: [String; 2], judge: fn(&Output, &Output) -> Outcome| Question {
        name: name.to_owned(),
        commands: commands.to_vec(),
        judge: Box::new(move |outputs: &[Output]| judge(&outputs[0], &outputs[1])),
    };
    let grew = move |outputs: &[Output]| match image_size {
        Some(size) => smoke::judge_size(&outputs[0], size),
        None => (Status::Skip, "the size of the image is not known".to_owned()),
    };
    own.chain([
        simple("no-failed-units", ASK_UNITS, smoke::judge_units),
        simple("sshd-settings", &ask_settings(), smoke::judge_settings),
        login("password-login-refused", password_login(), smoke::judge_password_login),
        login("root-login-refused", root_login(), smoke::judge_root_login),
        Question { name: "disk-grew".to_owned(), commands: vec![ASK_SIZE.to_owned()], judge: Box::new(grew) },
        simple("no-build-user", ASK_USERS, smoke::judge_accounts),
    ])
    .collect()
}

/// An SSH client inside the machine that leaves nothing of its own settings to the machine.
const SSH: &str = "ssh -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
    -o ConnectTimeout=25";

/// Gives an account a password that is known, and tries to log in with it.
fn password_login() -> [String; 2] {
    let prepare = format!(
        "id {PASSWORD_USER} >/dev/null 2>&1 || sudo -n useradd -m -s /bin/bash {PASSWORD_USER} || exit\n\
         password=$(cat /proc/sys/kernel/random/uuid) && echo \"{PASSWORD_USER}:$password\" | sudo -n chpasswd || exit\n\
         printf '#!/bin/sh\\necho %s\\n' \"$password\" >~/.try-askpass && chmod 700 ~/.try-askpass || exit\n\
         sudo -n passwd --status {PASSWORD_USER}"
    );
    let login = format!(
        "SSH_ASKPASS=~/.try-askpass SSH_ASKPASS_REQUIRE=force DISPLAY=:0 {SSH} -o BatchMode=no -o PubkeyAuthentication=no \
         -o PreferredAuthentications=password,keyboard-interactive -o NumberOfPasswordPrompts=1 \
         {PASSWORD_USER}@127.0.0.1 -- true"
    );
    [prepare, login]
}

/// Gives root a key with which the administrator can log in, and tries to log in as root.
fn root_login() -> [String; 2] {
    let with_key = format!("{SSH} -o BatchMode=yes -o IdentitiesOnly=yes -i ~/.ssh/try");
    let prepare = format!(
        "mkdir -p -m 700 ~/.ssh && rm -f ~/.ssh/try && ssh-keygen -q -t ed25519 -N '' -C one-time -f ~/.ssh/try || exit\n\
         cat ~/.ssh/try.pub >>~/.ssh/authorized_keys && chmod 600 ~/.ssh/authorized_keys || exit\n\
         sudo -n mkdir -p -m 700 /root/.ssh && sudo -n tee -a /root/.ssh/authorized_keys <~/.ssh/try.pub >/dev/null || exit\n\
         {with_key} {ADMIN}@127.0.0.1 -- true && {ASK_ROOT_KEY}"
    );
    [prepare, format!("{with_key} root@127.0.0.1 -- true")]
}

/// Has commands run, each by a shell of its own; what they printed, at most the last bytes of it, and the seconds they took.
fn ask<E: From<NoAnswer>>(
    commands: &[String],
    run: &mut dyn FnMut(&str) -> Result<String, E>,
) -> Result<Vec<(Output, f64)>, E> {
    let nonce = Uuid::new_v4().simple().to_string();
    let mut text = String::new();
    for _ in 0..MOST_PIECES {
        let script = if text.is_empty() { script(commands, &nonce) } else { piece(text.len(), &nonce) };
        let said = run(&script)?;
        let total = take(&said, &nonce, &mut text)?;
        if text.len() >= total {
            return Ok(answers(&text, commands.len())?);
        }
    }
    Err(NoAnswer(format!("it has more than {MOST_PIECES} pieces")).into())
}

/// Where the answer is in the machine.
const FOLDER: &str = "/run/aks-jumpbox-try";

fn script(commands: &[String], nonce: &str) -> String {
    let mut text = format!(
        "#!/bin/sh
umask 022
d={FOLDER}
rm -rf $d && mkdir $d && : >$d/all && cd /home/{ADMIN} || exit 1
ask() {{
    printf %s \"$1\" | base64 -d >$d/ask
    begun=$(date +%s%3N)
    timeout 300 sudo -n -H -u {ADMIN} /bin/bash $d/ask </dev/null >$d/out 2>$d/err
    exit=$?
    took=$(($(date +%s%3N) - begun))
    tail -c 4000 $d/out >$d/o
    tail -c 1000 $d/err >$d/e
    echo \"$exit $took $(wc -c <$d/o) $(wc -c <$d/e)\" >>$d/all
    cat $d/o $d/e >>$d/all
}}
"
    );
    for command in commands {
        let _ = writeln!(text, "ask {}", STANDARD.encode(command));
    }
    let _ = writeln!(text, "base64 -w0 $d/all >$d/answer");
    text.push_str(&piece(0, nonce));
    text
}

fn piece(from: usize, nonce: &str) -> String {
    format!(
        "echo {nonce} $(wc -c <{FOLDER}/answer)\ntail -c +{} {FOLDER}/answer | head -c {PIECE}\necho\n",
        from + 1
    )
}

/// Adds a piece to what is there; how long it is to become.
fn take(said: &str, nonce: &str, text: &mut String) -> Result<usize, NoAnswer> {
    let wrong = || NoAnswer(format!("\"{}\"", crate::tools::tail(&plain_text(said.as_bytes()), 3)));
    let mut lines = said.lines().map(str::trim).skip_while(|line| !line.starts_with(nonce));
    let total = lines.next().and_then(|line| line.strip_prefix(nonce)?.trim().parse().ok());
    let piece = lines.next().filter(|piece| !piece.is_empty() && piece.len() <= PIECE);
    let (Some(total), Some(piece)) = (total, piece) else { return Err(wrong()) };
    text.push_str(piece);
    if text.len() > total || (text.len() < total && piece.len() != PIECE) {
        return Err(wrong());
    }
    Ok(total)
}

fn answers(text: &str, count: usize) -> Result<Vec<(Output, f64)>, NoAnswer> {
    let bytes = STANDARD.decode(text).map_err(|error| NoAnswer(error.to_string()))?;
    let mut rest = bytes.as_slice();
    let read = |rest: &mut &[u8]| answer(rest).ok_or_else(|| NoAnswer("it is cut off".to_owned()));
    let all: Vec<_> = (0..count).map(|_| read(&mut rest)).collect::<Result<_, _>>()?;
    if rest.is_empty() { Ok(all) } else { Err(NoAnswer("it has more than was asked".to_owned())) }
}

fn answer(rest: &mut &[u8]) -> Option<(Output, f64)> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let head = std::str::from_utf8(&rest[..end]).ok()?;
    let numbers: Vec<u32> = head.split(' ').map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let [exit, milliseconds, out, err] = numbers[..] else { return None };
    let body = &rest[end + 1..];
    let (out, err) = (usize::try_from(out).ok()?, usize::try_from(err).ok()?);
    let stdout = body.get(..out)?;
    let stderr = body.get(out..out.checked_add(err)?)?;
    *rest = &body[out + err..];
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let exit = i32::try_from(exit).ok();
    Some((Output { exit, stdout: text(stdout), stderr: text(stderr) }, f64::from(milliseconds) / 1000.0))
}

#[cfg(test)]
#[path = "remote_tests.rs"]
mod tests;
