//! Package lists kept from making the base, so that a step's `apt-get update` downloads only what has changed since.
//!
//! They are the base's own, checked by apt when the base was made; no step ever writes to them. apt still fetches and
//! verifies every release file: the kept ones are altered and dated 1970, so that neither apt nor the archive takes
//! them for the newest, and apt keeps those package lists whose digests are in the new release file. When a release
//! file cannot be had, its lists go again: a step finds what it would find on a fresh image.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

/// Where a step sees the folder.
pub const FOLDER: &str = "/run/aks-jumpbox/lists";
/// Where a step sees [`SCRIPT`].
const SCRIPT_PATH: &str = "/run/aks-jumpbox/lists.sh";
/// Name of the file in a folder of build-only files.
pub const SCRIPT_NAME: &str = "lists.sh";
/// A field that no archive has, before the first field that every release file has.
const MARK: &str = "X-Kept-With-Base: yes";

/// Run by apt around `apt-get update`. An image that has lists of its own keeps them.
pub const SCRIPT: &str = r#"cd /var/lib/apt/lists || exit 0
case $1 in
before)
    for release in *Release; do
        [ ! -e "$release" ] || exit 0
    done
    cp --preserve=mode,timestamps /run/aks-jumpbox/lists/*_* . 2> /dev/null
    ;;
after)
    for release in *_InRelease; do
        if grep -q '^X-Kept-With-Base: yes$' "$release" 2> /dev/null; then
            rm -f "${release%InRelease}"*
        fi
    done
    ;;
esac
exit 0
"#;

/// The apt options that run the script. Differences between lists cost more than they save.
pub fn apt_options() -> [String; 3] {
    [
        format!("APT::Update::Pre-Invoke {{ \"sh {SCRIPT_PATH} before\"; }}"),
        format!("APT::Update::Post-Invoke {{ \"sh {SCRIPT_PATH} after\"; }}"),
        "Acquire::PDiffs \"false\"".to_owned(),
    ]
}

/// Makes what apt left in `lists` fit to be kept: no locks or part files, every release file altered and dated 1970.
///
/// # Errors
/// When a file cannot be changed.
pub fn keep(lists: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(lists)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            fs::remove_dir_all(&path)?;
        } else if name == "lock" {
            fs::remove_file(&path)?;
        } else if name.ends_with("_InRelease") {
            let text = fs::read_to_string(&path)?;
            fs::write(&path, text.replacen("\nSHA256:", &format!("\n{MARK}\nSHA256:"), 1))?;
            fs::File::options().write(true).open(&path)?.set_modified(SystemTime::UNIX_EPOCH)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_release_files_are_marked_and_old_and_the_rest_stays() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let lists = folder.path();
        fs::create_dir(lists.join("partial")).expect("made");
        for (name, text) in [
            ("lock", ""),
            ("a_dists_x_InRelease", "Suite: x\nSHA256:\n aa 1 main/Packages\n"),
            ("a_dists_x_main_Packages", "Package: jq\n"),
        ] {
            fs::write(lists.join(name), text).expect("written");
        }
        keep(lists).expect("keeps");
        let mut names: Vec<_> =
            fs::read_dir(lists).expect("list").map(|entry| entry.expect("entry").file_name()).collect();
        names.sort();
        assert_eq!(names, ["a_dists_x_InRelease", "a_dists_x_main_Packages"]);
        let release = lists.join("a_dists_x_InRelease");
        let text = fs::read_to_string(&release).expect("read");
        assert_eq!(text, format!("Suite: x\n{MARK}\nSHA256:\n aa 1 main/Packages\n"));
        assert_eq!(
            fs::metadata(&release).expect("there").modified().expect("a time"),
            SystemTime::UNIX_EPOCH
        );
        assert!(SCRIPT.contains(MARK) && SCRIPT.contains(FOLDER));
    }
}
