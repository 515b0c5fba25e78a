//! What a user sees.

use document::SourceText;

use crate::parse;

fn rendered(text: &str) -> String {
    let source = SourceText::new("template.json", text);
    parse(&source)
        .diagnostics
        .iter()
        .map(|diagnostic| diagnostic.render(&source))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_complaint_shows_place_path_what_is_allowed_and_the_right_spelling() {
    let text = r#"{
  "location": "westeurope",
  "identity": {"type": "UserAssigned", "userAssignedIdentities": {"<id>": {}}},
  "properties": {
    "source": {"type": "ManagedImage", "imageID": "<id>"},
    "customize": [
      {"type": "Shell", "inlines": ["true"]},
      {"type": "Shell", "inline": ["wget -qO- https://example.com/x | sh"], "scriptUri": "https://example.com/x"}
    ],
    "buildTimeoutInMinutes": 1000,
    "distribute": [{"type": "managedImage"}]
  }
}"#;
    insta::assert_snapshot!(rendered(text), @r#"
    template.json:3:67: warning: `<id>` is a placeholder: its value is not known, and its rules are not checked [not-known]
     3 | ntity": {"type": "UserAssigned", "userAssignedIdentities": {"<id>": {}}},
       |                                                             ^^^^^^
       = at: identity.userAssignedIdentities
       = hint: replace it before building in Azure

    template.json:5:40: error: `imageID` is in the wrong case [wrong-case]
     5 |     "source": {"type": "ManagedImage", "imageID": "<id>"},
       |                                        ^^^^^^^^^
       = at: properties.source.imageID
       = expected: one of type, imageId
       = hint: write `imageId`

    template.json:7:7: error: this step has no script [no-script]
     7 |       {"type": "Shell", "inlines": ["true"]},
       |       ^
       = at: properties.customize[0]
       = expected: either `scriptUri` or `inline`

    template.json:7:25: error: unknown field `inlines` [unknown-field]
     7 |       {"type": "Shell", "inlines": ["true"]},
       |                         ^^^^^^^^^
       = at: properties.customize[0].inlines
       = expected: one of type, name, scriptUri, inline, sha256Checksum
       = hint: did you mean `inline`?

    template.json:8:25: error: `scriptUri` and `inline` are both given [script-and-inline]
     8 |       {"type": "Shell", "inline": ["wget -qO- https://example.com/x | sh"], "scriptUri": "https://example.com/x"}
       |                         ^^^^^^^^
       = at: properties.customize[1].inline
       = expected: either `scriptUri` or `inline`
       = hint: keep one of them, or make two steps

    template.json:8:36: warning: when `wget` fails, `sh` gets an empty script and succeeds: the step goes on as if nothing had happened [pipe-to-shell]
     8 |       {"type": "Shell", "inline": ["wget -qO- https://example.com/x | sh"], "scriptUri": "https://example.com/x"}
       |                                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       = at: properties.customize[1].inline[0]
       = hint: download to a file first, check it, then run it; or use `scriptUri` with `sha256Checksum`

    template.json:10:30: error: `1000` is not allowed [number-range]
     10 |     "buildTimeoutInMinutes": 1000,
        |                              ^^^^
        = at: properties.buildTimeoutInMinutes
        = expected: a whole number from 0 to 960

    template.json:11:29: error: `managedImage` is not allowed [bad-value]
     11 |     "distribute": [{"type": "managedImage"}]
        |                             ^^^^^^^^^^^^^^
        = at: properties.distribute[0].type
        = expected: one of VHD, ManagedImage, SharedImage
        = hint: did you mean `ManagedImage`?
    "#);
}
