use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use cyclonedx_bom::prelude::Validate as _;

use super::*;

fn image(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn bill(folder: &Path) -> String {
    cyclonedx(&Rooted::open(folder).unwrap()).unwrap()
}

const STATUS_TEXT: &str = "Package: openssh-server\nStatus: install ok installed\nArchitecture: amd64\n\
    Source: openssh\nVersion: 1:10.0p1-7+deb13u4\n\nPackage: jq\nStatus: install ok installed\n\
    Architecture: amd64\nVersion: 1.7.1-6\n";

#[test]
fn the_bill_names_the_system_its_packages_and_pythons() {
    let folder = image(&[
        ("etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux 13\"\nID=debian\nVERSION_ID=\"13\"\n"),
        ("var/lib/dpkg/status", STATUS_TEXT),
        (
            "usr/lib/python3/dist-packages/attrs-25.3.0.dist-info/METADATA",
            "Name: attrs\nVersion: 25.3.0\n\nx",
        ),
        ("usr/lib/python3/dist-packages/WALinuxAgent-2.12.egg-info", "Name: WALinuxAgent\nVersion: 2.12\n"),
        (
            "opt/az/lib/python3.13/site-packages/azure_cli-2.80.dist-info/METADATA",
            "Name: azure-cli\nVersion: 2.80\n",
        ),
        ("usr/lib/python3/dist-packages/broken-1.dist-info/METADATA", ""),
    ]);
    let bill = bill(folder.path());
    insta::assert_snapshot!(bill);
    let read = Bom::parse_from_json(bill.as_bytes()).unwrap();
    assert!(read.validate_version(SpecVersion::V1_5).passed());
    assert_eq!(read.components.unwrap().0.len(), 5);
}

#[test]
fn metadata_behind_a_link_out_of_the_image_is_not_read() {
    let outside =
        image(&[("status", STATUS_TEXT), ("host-1.dist-info/METADATA", "Name: host-secret\nVersion: 1\n")]);
    let folder = image(&[("usr/lib/python3/x", ""), ("var/lib/dpkg/x", "")]);
    symlink(outside.path().join("status"), folder.path().join("var/lib/dpkg/status")).unwrap();
    symlink(outside.path(), folder.path().join("usr/lib/python3/dist-packages")).unwrap();
    let read = Bom::parse_from_json(bill(folder.path()).as_bytes()).unwrap();
    assert_eq!(read.components.unwrap().0, []);
}

#[test]
fn the_same_image_has_the_same_bill() {
    let folder = image(&[("var/lib/dpkg/status", STATUS_TEXT)]);
    assert_eq!(bill(folder.path()), bill(folder.path()));
}
