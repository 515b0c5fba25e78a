//! The page as a person meets it, in a browser.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::browser::Browser;
use super::{CHECK, hostile, isolated, written};
use crate::check::{broken, place};
use crate::program::Place;

/// Every shape of network, and every state of a hop among them.
fn worlds() -> Vec<(&'static str, Place)> {
    vec![
        ("private-link", written(broken(), CHECK, 1)),
        ("healthy", written(place("Disabled"), CHECK, 0)),
        ("isolated", written(isolated(), CHECK, 1)),
        ("managed", written(Place::new(), "check --html page.html", 0)),
        ("unknown", written(Place::new(), "check --topology isolated --strict --html page.html", 3)),
        ("hostile", written(hostile(), CHECK, 1)),
    ]
}

#[test]
fn every_page_is_readable_in_both_schemes_at_any_width_and_on_paper() {
    let Some(mut browser) = Browser::start() else { return };
    for (world, place) in worlds() {
        for (media, scheme) in [("screen", "light"), ("screen", "dark"), ("print", "dark")] {
            browser.media(media, scheme);
            for width in if media == "print" { &[800][..] } else { &[1280, 800, 390] } {
                browser.width(*width);
                browser.open(&place.path().join("page.html"));
                let wrong = browser.ask(include_str!("looks.js"));
                assert_eq!(wrong, json!([]), "{world}, {media}, {scheme}, {width}");
                let ground = browser.ask("getComputedStyle(document.body).backgroundColor");
                let dark = ground != "rgb(255, 255, 255)";
                assert_eq!(
                    dark,
                    (media, scheme) == ("screen", "dark"),
                    "{world}, {media}, {scheme}: {ground}"
                );
            }
        }
    }
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
}

#[test]
fn a_hop_opens_its_details_and_they_lead_to_the_finding() {
    let Some(mut browser) = Browser::start() else { return };
    let place = written(broken(), CHECK, 1);
    for width in [1280, 390] {
        browser.width(width);
        browser.open(&place.path().join("page.html"));
        let seen = |text: &str| {
            format!(
                "[...document.querySelectorAll('.body p, .body span, .body dd')]
                   .some(e => e.checkVisibility() && e.innerText.includes({text:?}))"
            )
        };
        // What is refused is open from the start; what is allowed opens by a click on the drawing.
        assert_eq!(browser.ask(&seen("decided by 'DenyAllInbound'")), true);
        let proved = seen("AllowSshOutbound");
        let hop = "a.hop[aria-label^='build VM to routes'] .badge";
        assert_eq!(browser.ask(&seen("Internet:443: proved for every packet")), false, "{width}");
        browser.follow(hop);
        assert_eq!(browser.ask(&seen("Internet:443: proved for every packet")), true, "{width}");
        let target = "document.querySelector(':target').closest('details').querySelector('summary')";
        assert_eq!(
            browser.ask(&format!("{target}.innerText.includes('build VM to routes and firewall')")),
            true
        );
        let inside =
            format!("(box => box.top >= 0 && box.bottom <= innerHeight)({target}.getBoundingClientRect())");
        assert_eq!(browser.ask(&inside), true, "what was opened is in sight, {width}");
        assert_eq!(browser.ask(&proved), true, "beside what was refused");
        // From there to the finding, which says where it stands.
        browser.follow("details:has(:target) .body a");
        assert_eq!(browser.ask(&seen("nsg.json:")), true);
        assert_eq!(browser.ask("location.hash"), "#finding-nsg.outbound.https");
        let probe = "load balancer to proxy VM";
        browser.follow_by_key(&format!("a.hop[aria-label^='{probe}']"));
        assert_eq!(
            browser.ask(&format!("{target}.parentElement.open && {target}.innerText.includes({probe:?})")),
            true
        );
    }
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
}

#[test]
fn who_does_not_see_the_drawing_hears_it() {
    let Some(mut browser) = Browser::start() else { return };
    browser.open(&written(isolated(), CHECK, 1).path().join("page.html"));
    let tree = browser.call("Accessibility.getFullAXTree", &json!({}));
    let nodes = tree["nodes"].as_array().expect("nodes");
    let links: Vec<_> = nodes
        .iter()
        .filter(|node| node["role"]["value"] == "link")
        .filter_map(|node| node["name"]["value"].as_str())
        .collect();
    for hop in [
        "container instance to routes and firewall of the container subnet: refused, TCP 443 ✓, 445 ✗",
        "container instance to build VM: open, TCP 22",
        "routes and firewall of the build subnet to Internet: allowed, TCP 443",
    ] {
        assert!(links.contains(&hop), "{hop} is not among {links:#?}");
    }
    let headings = nodes.iter().filter(|node| node["role"]["value"] == "heading").count();
    assert!(headings >= 5, "{headings} headings");
}

#[test]
fn a_hostile_name_is_text_and_nothing_else() {
    let Some(mut browser) = Browser::start() else { return };
    browser.open(&written(hostile(), CHECK, 1).path().join("page.html"));
    assert_eq!(browser.ask("typeof window.pwned"), "undefined");
    assert_eq!(
        browser.ask("document.querySelectorAll('script, img, iframe, [onclick], [onerror], [style]').length"),
        0
    );
    let schemes = "[...new Set([...document.querySelectorAll('[href]')]
        .map(a => new URL(a.href.baseVal ?? a.href, location).protocol))].sort()";
    assert_eq!(browser.ask(schemes), json!(["file:", "https:"]));
    let shown = browser.ask("document.body.innerText.includes(\"<script>window.pwned=1</script>\")");
    assert_eq!(shown, true, "the name can be read");
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
}

#[test]
fn paper_has_what_was_folded() {
    let Some(mut browser) = Browser::start() else { return };
    let place = written(broken(), CHECK, 1);
    browser.open(&place.path().join("page.html"));
    let printed = browser.call("Page.printToPDF", &json!({"paperWidth": 8.27, "paperHeight": 11.69}));
    let pdf = STANDARD.decode(printed["data"].as_str().expect("a document")).expect("base64");
    std::fs::write(place.path().join("page.pdf"), pdf).expect("written");
    let read =
        Command::new("pdftotext").args(["-layout", "page.pdf", "-"]).current_dir(place.path()).output();
    let Ok(read) = read else {
        assert!(std::env::var_os("CI").is_none(), "no pdftotext; `cargo xtask test` installs it");
        eprintln!("SKIPPED: pdftotext is not installed; `cargo xtask test` does it");
        return;
    };
    let text = String::from_utf8_lossy(&read.stdout);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for what in [
        "✗ fail:",
        "✗ refused",
        "the proxy VM reaches the build VM (SSH 22), inbound",
        "decided by 'DenyAllInbound'",
        "az network nsg rule create",
        // Folded on screen.
        "11 addresses can be used, and a build takes 4",
    ] {
        assert!(words.contains(what), "`{what}` is not on paper:\n{text}");
    }
}
