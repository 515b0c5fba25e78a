//! The lists of users and groups, edited as text: lines that are not understood stay as they are.

use std::collections::BTreeSet;

/// Users with their homes.
pub(super) const PASSWD: &str = "/etc/passwd";
/// Their password hashes.
pub(super) const SHADOW: &str = "/etc/shadow";
/// Every file in which an account may be named.
pub(super) const FILES: [&str; 6] =
    [PASSWD, SHADOW, "/etc/group", "/etc/gshadow", "/etc/subuid", "/etc/subgid"];

/// Homes of the users that may have worked in one, each once. Daemons are often given a system folder, in which
/// nobody's shell keeps anything.
pub(super) fn homes(passwd: &[u8]) -> BTreeSet<String> {
    lines(passwd)
        .filter_map(|line| std::str::from_utf8(fields(line).nth(5)?).ok())
        .filter(|home| home.starts_with('/') && is_plain(home) && !is_system_folder(home))
        .map(str::to_owned)
        .collect()
}

/// The home to remove with a user: only one below `/home`, because an image may say anything in its list of users.
pub(super) fn home_to_remove(passwd: &[u8], user: &str) -> Option<String> {
    let line = lines(passwd).find(|line| fields(line).next() == Some(user.as_bytes()))?;
    let home = std::str::from_utf8(fields(line).nth(5)?).ok()?;
    let below = home.strip_prefix("/home/")?.trim_matches('/');
    (!below.is_empty() && is_plain(home)).then(|| format!("/home/{below}"))
}

fn is_system_folder(path: &str) -> bool {
    let first = path.trim_matches('/').split('/').next().unwrap_or_default();
    ["", "bin", "sbin", "lib", "usr", "dev", "proc", "sys", "run", "nonexistent"].contains(&first)
}

fn is_plain(path: &str) -> bool {
    path.split('/').all(|part| part != ".." && part != ".")
}

/// The file without the account: its own lines, and its name among the members of groups.
pub(super) fn without_account(path: &str, content: &[u8], user: &str) -> Vec<u8> {
    let user = user.as_bytes();
    let is_group = path.ends_with("group") || path.ends_with("gshadow");
    rebuild(content, |line| {
        if fields(line).next() == Some(user) {
            return None;
        }
        if !is_group {
            return Some(line.to_vec());
        }
        // Members (and, in gshadow, administrators) are lists with commas from the third field on.
        let cleaned: Vec<Vec<u8>> = fields(line)
            .enumerate()
            .map(|(index, field)| if index < 2 { field.to_vec() } else { without_member(field, user) })
            .collect();
        Some(cleaned.join(&b':'))
    })
}

fn without_member(list: &[u8], user: &[u8]) -> Vec<u8> {
    let kept: Vec<&[u8]> = list.split(|byte| *byte == b',').filter(|member| *member != user).collect();
    kept.join(&b',')
}

/// The list of password hashes with none for root. A hash that is locked already stays: it cannot match.
pub(super) fn with_root_locked(shadow: &[u8]) -> Vec<u8> {
    rebuild(shadow, |line| {
        let mut parts: Vec<&[u8]> = fields(line).collect();
        match parts[..] {
            [b"root", hash, ..] if !hash.starts_with(b"*") && !hash.starts_with(b"!*") => {
                parts[1] = b"*";
                Some(parts.join(&b':'))
            }
            _ => Some(line.to_vec()),
        }
    })
}

fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split(|byte| *byte == b'\n')
}

fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b':')
}

fn rebuild(content: &[u8], edit: impl FnMut(&[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    lines(content).filter_map(edit).collect::<Vec<_>>().join(&b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[u8] = b"root:x:0:0:root:/root:/bin/bash\nsync:x:4:65534:sync:/:/bin/sync\n\
        bad\npacker:x:1000:1000::/home/packer:/bin/bash\nodd:x:1:1::/home/../etc:/bin/sh\n\
        evil:x:1:1::/usr:/bin/sh\n";

    #[test]
    fn homes_are_absolute_and_no_system_folders() {
        assert_eq!(homes(LIST), BTreeSet::from(["/home/packer", "/root"].map(String::from)));
    }

    #[test]
    fn only_a_home_below_home_is_removed_with_its_user() {
        assert_eq!(home_to_remove(LIST, "packer").as_deref(), Some("/home/packer"));
        assert_eq!(home_to_remove(LIST, "evil"), None);
        assert_eq!(home_to_remove(LIST, "odd"), None);
        assert_eq!(home_to_remove(LIST, "nobody"), None);
    }

    #[test]
    fn an_account_goes_with_its_memberships_and_nothing_else_changes() {
        let text = |path, content: &str| {
            String::from_utf8(without_account(path, content.as_bytes(), "packer")).unwrap()
        };
        assert_eq!(
            text(PASSWD, "root:x:0:0::/root:/bin/sh\npacker:x:1:1::/h:/b\npackers:x:2:2::/h:/b\n"),
            "root:x:0:0::/root:/bin/sh\npackers:x:2:2::/h:/b\n"
        );
        assert_eq!(
            text("/etc/group", "sudo:x:27:alice,packer,bob\npacker:x:1000:\nadm:x:4:packer\n"),
            "sudo:x:27:alice,bob\nadm:x:4:\n"
        );
        assert_eq!(text("/etc/gshadow", "sudo:*:packer:packer,bob\npacker:!::\n"), "sudo:*::bob\n");
        assert_eq!(text("/etc/subuid", "packer:100000:65536\n"), "");
        assert_eq!(text(PASSWD, "no line feed at the end"), "no line feed at the end");
    }

    #[test]
    fn roots_password_is_taken_away_and_other_hashes_stay() {
        let lock = |text: &str| String::from_utf8(with_root_locked(text.as_bytes())).unwrap();
        assert_eq!(
            lock("root:$y$secret:1:0:99999:7:::\nbob:$y$b:1::\n"),
            "root:*:1:0:99999:7:::\nbob:$y$b:1::\n"
        );
        assert_eq!(lock("root::1:0\n"), "root:*:1:0\n", "an empty password lets anyone in");
        assert_eq!(lock("root:!$y$secret:1:0\n"), "root:*:1:0\n", "a locked hash can be unlocked");
        assert_eq!(lock("root:*:1:0\n"), "root:*:1:0\n");
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_lists_never_panic(bytes in proptest::collection::vec(0_u8..=255, 0..200)) {
            let _ = (homes(&bytes), home_to_remove(&bytes, "a"), with_root_locked(&bytes));
            let _ = FILES.map(|path| without_account(path, &bytes, "a"));
        }
    }
}
