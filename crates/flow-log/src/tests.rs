//! Logs as Azure writes them, in pieces and broken.

use proptest::prelude::*;

use crate::{Analysis, Class, Denied, Finding, LogError, NEEDED, NOISE, Peer, Query, Summary};

/// A virtual network flow log: one flow that passed, a refused one twice, one of another subnet, one from outside.
const NETWORK: &str = r#"{"records":[
  {"time":"2025-06-01T12:00:52.5625085Z","flowLogVersion":4,"flowLogGUID":"g","macAddress":"00224871C205",
   "category":"FlowLogFlowEvent","flowLogResourceID":"/X","targetResourceID":"/Y","operationName":"FlowLogFlowEvent",
   "flowRecords":{"flows":[
     {"aclID":"00000000-1234-abcd-ef00-c1c2c3c4c5c6","flowGroups":[
       {"rule":"AllowHttps","flowTuples":[
         "1748779200000,10.241.0.5,20.60.0.1,50001,443,6,O,B,NX,0,0,0,0",
         "1748779201000,10.241.0.5,20.60.0.1,50001,443,6,O,E,NX,3,767,2,1580"]},
       {"rule":"DenyAllOutbound","flowTuples":[
         "1748779202000,10.241.0.5,91.189.91.157,40000,123,17,O,D,NX,0,0,0,0",
         "1748779262000,10.241.0.5,91.189.91.157,40001,123,17,O,D,NX,0,0,0,0",
         "1748779203000,10.242.0.9,1.1.1.1,40000,53,17,O,D,NX,0,0,0,0",
         "1748779204000,10.241.0.5,20.60.4.4,50002,443,6,O,D,NX,0,0,0,0"]},
       {"rule":"DefaultRule_DenyAllInBound","flowTuples":[
         "1748779205000,192.0.2.7,10.241.0.5,1111,3389,6,I,D,NX,0,0,0,0",
         "1748779206000,10.241.0.6,10.241.0.5,1111,60001,6,I,D,NX,0,0,0,0"]}]},
     {"aclID":"unspecified","flowGroups":[
       {"rule":"unspecified","flowTuples":["1748779207000,10.241.0.5,10.242.0.1,1,7777,6,O,D,NX_NOT_ACCEPTED,0,0,0,0"]}]}]}}]}"#;

const GROUP: &str = r#"{"records":[{"time":"2025-06-01T12:00:00Z","systemId":"s","category":"NetworkSecurityGroupFlowEvent",
 "resourceId":"/SUBSCRIPTIONS/0/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/NSG-BUILD",
 "operationName":"NetworkSecurityGroupFlowEvents","properties":{"Version":2,"flows":[
  {"rule":"UserRule_DenyAll","flows":[{"mac":"000D3AF8801A","flowTuples":[
    "1748779200,10.241.0.5,91.189.91.157,40000,123,U,O,D,B,,,,",
    "1748779203,10.241.0.5,20.60.4.4,50002,443,T,O,D,B,,,,"]}]},
  {"rule":"UserRule_Allow","flows":[{"mac":"000D3AF8801A","flowTuples":[
    "1748779203,10.241.0.5,20.60.4.4,50002,80,T,O,A,C,1021,588096,8005,4610880"]}]}]}}]}"#;

const FIREWALL: &str = r#"{"category":"AZFWApplicationRule","time":"2025-06-01T12:00:01.8121070Z","resourceId":"/SUBSCRIPTIONS/0/FW-HUB","properties":{"Protocol":"HTTPS","SourceIp":"10.241.0.5","SourcePort":50975,"DestinationPort":443,"Fqdn":"Api.Snapcraft.io","TargetUrl":"","Action":"Deny","Policy":"","RuleCollectionGroup":"","RuleCollection":"","Rule":"","ActionReason":"Default Action"}}
{"category":"AZFWApplicationRule","time":"2025-06-01T12:00:02Z","resourceId":"/FW-HUB","properties":{"Protocol":"HTTPS","SourceIp":"10.241.0.5","SourcePort":50976,"DestinationPort":443,"Fqdn":"abc.blob.core.windows.net","Action":"Deny","Policy":"fwp-hub","RuleCollectionGroup":"rcg","RuleCollection":"deny","Rule":"no-blobs","ActionReason":""}}
{"category":"AZFWNetworkRule","time":"2025-06-01T12:00:03Z","resourceId":"/FW-HUB","properties":{"Protocol":"UDP","SourceIp":"10.241.0.5","SourcePort":"52555","DestinationIp":"23.72.254.146","DestinationPort":"4433","Action":"Deny","Policy":"","RuleCollectionGroup":"","RuleCollection":"","Rule":"","ActionReason":"Default Action"}}
{"category":"AZFWDnsQuery","time":"2025-06-01T12:00:04Z","resourceId":"/FW-HUB","properties":{"SourceIp":"10.241.0.5","QueryName":"a.example.com."}}
{"category":"AZFWThreatIntel","time":"2025-06-01T12:00:05Z","resourceId":"/FW-HUB","properties":{"Protocol":"HTTP","SourceIp":"10.241.0.5","SourcePort":51674,"DestinationIp":"","DestinationPort":80,"Fqdn":"bad.example.com","Action":"Alert","ThreatDescription":"a test"}}
"#;

fn build_subnet() -> Query {
    Query { subnet: vec!["10.241.0.0/28".parse().unwrap()], ..Query::default() }
}

fn read_in_pieces(text: &str, query: Query, size: usize) -> Result<Summary, LogError> {
    let mut analysis = Analysis::new(query);
    let mut file = analysis.file("log.json");
    text.as_bytes().chunks(size).try_for_each(|piece| file.feed(piece))?;
    file.finish()?;
    Ok(analysis.summary())
}

fn read(text: &str) -> Summary {
    read_in_pieces(text, build_subnet(), usize::MAX).unwrap_or_else(|error| panic!("{error:?}"))
}

fn error(text: &str) -> (usize, usize, String) {
    let error = read_in_pieces(text, build_subnet(), usize::MAX).expect_err("it is wrong");
    (error.position.line, error.position.column, error.message)
}

fn shown(denied: &Denied) -> String {
    let Denied { peer, port, protocol, rule, count, class, .. } = denied;
    format!("{} {peer}:{port} {protocol:?} {count} {rule}", class.word())
}

#[test]
fn a_virtual_network_log_is_grouped_and_judged() {
    let summary = read(NETWORK);
    assert_eq!(
        summary.denied.iter().map(shown).collect::<Vec<_>>(),
        [
            "needed 20.60.4.4:443 Tcp 1 DenyAllOutbound",
            "needed 10.241.0.6:60001 Tcp 1 DenyAllInBound",
            "unclassified 10.242.0.1:7777 Tcp 1 virtual network encryption (NX_NOT_ACCEPTED)",
            "noise 91.189.91.157:123 Udp 2 DenyAllOutbound",
            "noise 192.0.2.7:3389 Tcp 1 DenyAllInBound",
        ]
    );
    let ntp = &summary.denied[3];
    assert_eq!(
        (ntp.first.to_string(), ntp.last.to_string()),
        ("2025-06-01T12:00:02Z".into(), "2025-06-01T12:01:02Z".into())
    );
    assert_eq!(ntp.resource, "00000000-1234-abcd-ef00-c1c2c3c4c5c6");
    let counts = summary.counts;
    assert_eq!((counts.records, counts.entries, counts.of_subnet, counts.denied), (1, 9, 8, 6));
    assert_eq!(summary.findings, []);
}

#[test]
fn a_group_log_names_its_group_and_rules_as_people_do() {
    let summary = read(GROUP);
    assert_eq!(
        summary.denied.iter().map(shown).collect::<Vec<_>>(),
        ["needed 20.60.4.4:443 Tcp 1 DenyAll", "noise 91.189.91.157:123 Udp 1 DenyAll",]
    );
    assert_eq!(summary.denied[0].resource, "NSG-BUILD");
    let first = GROUP
        .replace("\"Version\":2", "\"Version\":1")
        .replace(",B,,,,", "")
        .replace(",C,1021,588096,8005,4610880", "");
    assert_eq!(read(&first).denied, summary.denied, "version 1 lacks only the states");
}

#[test]
fn a_firewall_log_knows_names() {
    let summary = read(FIREWALL);
    assert_eq!(
        summary.denied.iter().map(shown).collect::<Vec<_>>(),
        [
            "needed abc.blob.core.windows.net:443 Tcp 1 rcg/deny/no-blobs",
            "unclassified 23.72.254.146:4433 Udp 1 no rule allows it (Default Action)",
            "noise api.snapcraft.io:443 Tcp 1 no rule allows it (Default Action)",
        ]
    );
    assert_eq!(
        (summary.denied[0].resource.as_str(), summary.denied[1].resource.as_str()),
        ("fwp-hub", "FW-HUB")
    );
    assert_eq!(summary.findings, [Finding::PassedOver { category: "AZFWDnsQuery".into(), records: 1 }]);
    assert_eq!(summary.counts.of_subnet, 4, "an alert is no denial");
}

#[test]
fn the_window_is_half_open_and_what_the_recipe_names_is_needed() {
    let instant = |text: &str| Some(text.parse().unwrap());
    let since = instant("2025-06-01T12:00:02Z");
    let until = instant("2025-06-01T12:01:02Z");
    let endpoints = vec![network_policy::Endpoint::parse("api.snapcraft.io:443").unwrap()];
    let query = Query { since, until, endpoints, ..build_subnet() };
    let ntp = read_in_pieces(NETWORK, query.clone(), 100).unwrap();
    assert!(ntp.denied.iter().any(|denied| denied.port == 123 && denied.count == 1), "{ntp:?}");
    let snap = read_in_pieces(FIREWALL, Query { since: None, ..query }, 100).unwrap();
    assert!(snap.denied.iter().any(|denied| denied.peer == Peer::Name("api.snapcraft.io".into())
        && denied.class == Class::Needed("the build's own configuration asks for it".into())));
}

#[test]
fn without_a_subnet_every_flow_counts() {
    let all = read_in_pieces(NETWORK, Query::default(), 64).unwrap();
    assert_eq!((all.counts.entries, all.counts.of_subnet), (9, 9));
    assert!(all.denied.iter().any(|denied| denied.peer == Peer::Address("1.1.1.1".parse().unwrap())));
}

#[test]
fn a_log_that_breaks_off_is_a_finding_with_its_place() {
    for text in [NETWORK, GROUP, FIREWALL.trim_end()] {
        for end in (1..text.len()).filter(|&end| text.is_char_boundary(end)) {
            let read = read_in_pieces(&text[..end], build_subnet(), usize::MAX);
            let summary = read.unwrap_or_else(|error| panic!("{end}: {error:?}\n{}", &text[..end]));
            let whole_lines = text == FIREWALL.trim_end()
                && matches!(text.as_bytes()[end - 1], b'\n' | b'}')
                && text[end..].starts_with(['\n', '{']);
            let broken = summary.findings.iter().any(|finding| matches!(finding, Finding::BreaksOff { .. }));
            assert!(broken || whole_lines, "{end}: {summary:?}");
        }
    }
    let cut = &FIREWALL[..FIREWALL.len() - 20];
    let Some(Finding::BreaksOff { file, position }) = read(cut).findings.first().cloned() else {
        panic!("found")
    };
    assert_eq!((file.as_str(), position.line), ("log.json", 5));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let wrong = |from: &str, to: &str| error(&NETWORK.replacen(from, to, 1));
    assert_eq!(
        wrong("\"flowLogVersion\":4", "\"flowLogVersion\":9"),
        (2, 59, "this is another version of the log".into())
    );
    assert_eq!(wrong("10.241.0.5,91", "10.241.0.256,91"), (10, 10, "`10.241.0.256` is not allowed".into()));
    assert_eq!(wrong("123,17,O,D", "123,17,O,X").2, "`X` is not allowed");
    assert_eq!(wrong("123,17,O,D", "70000,17,O,D").2, "`70000` is not allowed");
    assert_eq!(wrong("1748779202000", "99999999999999999999").2, "`99999999999999999999` is not allowed");
    assert_eq!(wrong("\"rule\":\"AllowHttps\",", ""), (6, 8, "`rule` is missing".into()));
    let (line, _, message) = error(&FIREWALL.replacen(
        "\"Action\":\"Deny\",\"Policy\":\"fwp",
        "\"Action\":\"Perhaps\",\"Policy\":\"fwp",
        1,
    ));
    assert_eq!((line, message.as_str()), (2, "`Perhaps` is not allowed"));
    assert_eq!(error("hello"), (1, 1, "unexpected `h`: this is no flow log".into()));
    assert_eq!(error("{\"records\": []}\n{\"name\": \"nsg\"}").0, 2);
    assert_eq!(error("{\"category\":\"FlowLogFlowEvent\" \"x\":1, }").0, 1);
    assert_eq!(error("{\"a\": \"b\n\"}"), (1, 9, "the string is not closed".into()));
    assert_eq!(error("{\"a\":{ \n{\"b\"").0, 2, "more than the end is missing");
    assert_eq!(error(&format!("{{\"a\":{}", "[".repeat(500))).2, "arrays and objects are nested too deeply");
}

#[test]
fn frames_differ_and_the_answer_does_not() {
    let record = NETWORK.strip_prefix("{\"records\":[").and_then(|text| text.strip_suffix("]}")).unwrap();
    let expected = read(NETWORK).denied;
    for text in [
        format!("\u{feff}{record}"),
        format!("[{record}]"),
        format!("{{\"version\": [1], \"records\" : [ {record} ], \"more\": {{\"a\": \"]}}\"}}}}\n"),
        format!("{{\"records\":[]}}{{\"records\":[{record}]}}"),
    ] {
        assert_eq!(read(&text).denied, expected, "{text}");
    }
    assert_eq!(read("").counts.records, 0);
}

#[test]
fn every_name_of_the_tables_is_a_pattern() {
    let names = NEEDED.iter().map(|(name, ..)| *name).chain(NOISE.iter().map(|(name, _)| *name));
    for name in names {
        assert!(network_policy::FqdnPattern::parse(name).is_ok(), "{name}");
    }
}

#[test]
fn a_port_scan_is_counted_and_not_kept() {
    let mut analysis = Analysis::new(build_subnet());
    let mut file = analysis.file("scan");
    file.feed(b"{\"records\":[").unwrap();
    for high in 0..=200 {
        let tuples: Vec<_> = (0..256)
            .map(|low| format!("\"1748779205000,192.0.{high}.{low},10.241.0.5,1111,3389,6,I,D,NX,0,0,0,0\""))
            .collect();
        let record = format!(
            "{{\"category\":\"FlowLogFlowEvent\",\"flowLogVersion\":4,\"flowRecords\":{{\"flows\":[{{\"flowGroups\":[{{\"rule\":\"r\",\"flowTuples\":[{}]}}]}}]}}}},",
            tuples.join(",")
        );
        file.feed(record.as_bytes()).unwrap();
    }
    file.feed(b"]}").unwrap();
    file.finish().unwrap();
    let summary = analysis.summary();
    assert_eq!(summary.denied.len(), crate::MAX_GROUPS);
    assert_eq!(summary.findings, [Finding::TooMany { entries: 201 * 256 - 50_000 }]);
    assert_eq!(summary.counts.denied, 201 * 256);
}

proptest! {
    #[test]
    fn the_size_of_the_pieces_does_not_matter(size in 1_usize..200) {
        for text in [NETWORK, GROUP, FIREWALL] {
            prop_assert_eq!(read_in_pieces(text, build_subnet(), size), Ok(read(text)));
        }
    }

    #[test]
    fn no_text_panics(text in "[{}\\[\\]\":,a-z0-9\\\\\n ]{0,80}") {
        let _ = read_in_pieces(&text, build_subnet(), 7);
    }

    #[test]
    fn no_damage_panics(at in 0_usize..3000, byte in any::<u8>()) {
        for text in [NETWORK, GROUP, FIREWALL] {
            let mut bytes = text.as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            let mut analysis = Analysis::new(build_subnet());
            let mut file = analysis.file("damaged");
            if file.feed(&bytes).is_ok() {
                let _ = file.finish();
            }
        }
    }
}
