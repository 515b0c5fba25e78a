//! The tutorial's commands, as they stand on its page.

use crate::story::az_story;

const PAGE: &str = include_str!("../../../../docs/tutorial/azure-cli.md");

#[test]
fn the_tutorial_works_as_it_is_written() {
    az_story(|story, _| {
        story.write("serve.json", &story.serve.first.to_string());
        let commands: String =
            PAGE.split("```bash\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(commands.contains("az login"), "{commands}");
        // In Bash, `!` only hides the exit code from `set -e`: what is refused must not succeed.
        let commands = format!("\n{commands}").replace("\n! ", "\nrefused ");
        let said = story.shell(&format!("refused() {{ if \"$@\"; then exit 7; fi; }}\n{commands}"));
        assert_eq!(said.code, Some(0), "{said}");
        for code in
            ["InUseNetworkSecurityGroupCannotBeDeleted", "AuthorizationFailed", "resourceGroups/delete"]
        {
            assert!(said.err.contains(code), "{said}");
        }
        let shown = said.out.lines().any(|line| line.starts_with("https ") && line.contains("443"));
        assert!(shown, "the auditor sees the rule: {said}");
    });
}
