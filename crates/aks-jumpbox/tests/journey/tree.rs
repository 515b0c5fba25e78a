//! Everything in the root file system of a disk, so that two disks can be compared. Read by the file system's own
//! `debugfs`, not by the code that wrote it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use build_engine::digest::sha256_of;
use tempfile::NamedTempFile;

use crate::disk::ROOT_OFFSET;

/// What differs between two disks of the same content: their own identities.
pub const OF_THE_DISK: [&str; 2] = ["/boot/grub/grub.cfg", "/etc/fstab"];

/// Everything by its path.
pub struct Tree(BTreeMap<String, File>);

/// All that can be told of a file but its times.
#[derive(Debug, PartialEq, Eq)]
struct File {
    /// Type and mode in octal, owner and group.
    owner: String,
    /// The first of the names that are this file, and its extended attributes.
    rest: String,
    /// Digest or target.
    content: String,
}

struct Node {
    path: String,
    inode: String,
    mode: String,
    owner: String,
    bytes: u64,
}

impl Tree {
    pub fn of(image: &Path) -> Self {
        let nodes = nodes(image);
        let is_file = |node: &Node| node.mode.starts_with("10");
        let content = |node: &Node| match &node.mode[..2] {
            "10" => Some(format!("cat <{}>", node.inode)),
            "12" => Some(format!("stat <{}>", node.inode)),
            _ => None,
        };
        let requests = nodes.iter().flat_map(|node| content(node).into_iter().chain([ea_list(node)]));
        let mut answers = Answers::to(image, requests);
        // A folder may list its names in any order.
        let mut first_names: HashMap<String, String> = HashMap::new();
        for Node { inode, path, .. } in &nodes {
            let first = first_names.entry(inode.clone()).or_insert_with(|| path.clone());
            if path < first {
                first.clone_from(path);
            }
        }
        let entries = nodes.iter().map(|node| {
            let first = &first_names[&node.inode];
            let content = match content(node) {
                Some(request) if is_file(node) => answers.digest(&request, node.bytes),
                Some(request) => {
                    answers.text(&request).lines().filter(|line| line.contains("link dest")).collect()
                }
                None => String::new(),
            };
            let attributes = answers.text(&ea_list(node));
            let mut attributes: Vec<_> = attributes.lines().collect();
            attributes.sort_unstable();
            let owner = format!("{} {}", node.mode, node.owner);
            (node.path.clone(), File { owner, rest: format!("{first} {attributes:?}"), content })
        });
        let tree = Self(entries.collect());
        assert!(tree.0.len() > 10_000, "a whole system: {}", tree.0.len());
        tree
    }

    /// Without what lies at or below these paths.
    pub fn without(mut self, paths: &[&str]) -> Self {
        self.0.retain(|path, _| !paths.iter().any(|gone| Path::new(path).starts_with(gone)));
        self
    }

    /// Type and mode in octal, owner and group, as `100640 33:4242`.
    #[track_caller]
    pub fn owner(&self, path: &str) -> &str {
        &self.0[path].owner
    }

    /// The same everywhere, but for the contents of files whose paths begin with one of `except`.
    #[track_caller]
    pub fn assert_same(&self, other: &Self, except: &[&str]) {
        let same = |path: &String| match (self.0.get(path), other.0.get(path)) {
            (Some(one), Some(two)) if except.iter().any(|start| path.starts_with(start)) => {
                (&one.owner, &one.rest) == (&two.owner, &two.rest)
            }
            (one, two) => one == two,
        };
        let paths: BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        let differing = paths.into_iter().filter(|path| !same(path));
        let differences =
            differing.map(|path| format!("{path}: {:?} and {:?}", self.0.get(path), other.0.get(path)));
        assert_eq!(differences.collect::<Vec<_>>(), Vec::<String>::new());
    }
}

fn ea_list(node: &Node) -> String {
    format!("ea_list <{}>", node.inode)
}

/// Folder by folder; a line of a listing is `/inode/mode/uid/gid/name/size/`.
fn nodes(image: &Path) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut level = vec![("2".to_owned(), String::new())];
    while !level.is_empty() {
        let request = |inode: &str| format!("ls -p <{inode}>");
        let mut answers = Answers::to(image, level.iter().map(|(inode, _)| request(inode)));
        let mut next = Vec::new();
        for (inode, folder) in level {
            for line in answers.text(&request(&inode)).lines() {
                let [_, inode, mode, uid, gid, name, bytes, ..] = line.split('/').collect::<Vec<_>>()[..]
                else {
                    continue;
                };
                if name == "." || name == ".." {
                    continue;
                }
                let path = format!("{folder}/{name}");
                if mode.starts_with("04") {
                    next.push((inode.to_owned(), path.clone()));
                }
                nodes.push(Node {
                    path,
                    inode: inode.to_owned(),
                    mode: mode.to_owned(),
                    owner: format!("{uid}:{gid}"),
                    bytes: bytes.parse().unwrap_or(0),
                });
            }
        }
        level = next;
    }
    nodes
}

/// What `debugfs` answers to many requests, each of which it repeats before its answer.
struct Answers {
    debugfs: Child,
    printed: BufReader<ChildStdout>,
    line: String,
    _requests: NamedTempFile,
}

impl Answers {
    fn to(image: &Path, requests: impl Iterator<Item = String>) -> Self {
        let mut file = NamedTempFile::new().expect("made");
        let text: String = requests.map(|request| request + "\n").collect();
        file.write_all(text.as_bytes()).expect("written");
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let mut debugfs = Command::new("debugfs")
            .arg("-f")
            .arg(file.path())
            .arg(format!("{}?offset={ROOT_OFFSET}", image.display()))
            .env("PATH", path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("debugfs");
        let printed = BufReader::with_capacity(1 << 20, debugfs.stdout.take().expect("a pipe"));
        let mut answers = Self { debugfs, printed, line: String::new(), _requests: file };
        answers.next_line();
        answers
    }

    fn next_line(&mut self) {
        let mut line = Vec::new();
        self.printed.read_until(b'\n', &mut line).expect("read");
        self.line = String::from_utf8_lossy(&line).into_owned();
    }

    #[track_caller]
    fn expect(&self, request: &str) {
        assert_eq!(self.line.trim_end(), format!("debugfs: {request}"));
    }

    /// Every line up to the next request.
    #[track_caller]
    fn text(&mut self, request: &str) -> String {
        self.expect(request);
        let mut text = String::new();
        loop {
            self.next_line();
            if self.line.is_empty() || self.line.starts_with("debugfs: ") {
                return text;
            }
            text += &self.line;
        }
    }

    /// Digest of the content of a file.
    #[track_caller]
    fn digest(&mut self, request: &str, bytes: u64) -> String {
        self.expect(request);
        let digest = sha256_of((&mut self.printed).take(bytes)).expect("read");
        self.next_line();
        digest
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        let _ = self.debugfs.kill();
        let _ = self.debugfs.wait();
    }
}
