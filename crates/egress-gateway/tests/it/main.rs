//! The gateway on the wire: clients in a real sandbox, servers on this machine's loopback. Needs root, `ip` and
//! `nft`, as the sandbox does.
#![allow(clippy::unwrap_used, clippy::unnecessary_wraps, reason = "tests")]

mod allowed;
mod attack;
mod attacker;
mod capture;
mod client;
mod refused;
mod servers;
mod settings;
mod wire;
mod world;

use libtest_mimic::{Arguments, Failed, Trial};
use sandbox::Job;

/// What runs inside the sandbox, each named like the test that uses it.
const JOBS: &[Job] = &[
    Job { name: "talk", run: client::talk },
    Job { name: "ask", run: client::ask },
    Job { name: "packets", run: client::packets },
    Job { name: "greeted", run: client::greeted },
    Job { name: "kept_alive", run: client::kept_alive },
    Job { name: "parallel", run: client::parallel },
    Job { name: "bulk", run: client::bulk },
    Job { name: "hold", run: client::hold },
    Job { name: "trickle", run: attacker::trickle },
    Job { name: "silent_crowd", run: attacker::silent_crowd },
    Job { name: "greeted_crowd", run: attacker::greeted_crowd },
    Job { name: "pipelined", run: attacker::pipelined },
    Job { name: "question_flood", run: attacker::question_flood },
    Job { name: "malformed_questions", run: attacker::malformed_questions },
];

type TestResult = Result<(), Failed>;
type Test = (&'static str, fn() -> TestResult);

fn main() {
    sandbox::enter_if_requested(JOBS);
    let tests: &[Test] = &[
        ("an_allowed_name_is_reached_and_its_bytes_are_untouched", allowed::bytes_are_untouched),
        ("a_raw_address_with_an_allowed_server_name_reaches_the_name", allowed::raw_address_with_name),
        ("a_server_that_speaks_first_is_heard", allowed::server_speaks_first),
        ("every_request_of_a_kept_alive_connection_is_checked", allowed::kept_alive),
        ("two_hundred_parallel_connections", allowed::parallel),
        ("a_gigabyte_arrives_as_it_was_sent", allowed::gigabyte),
        ("an_unreachable_server_resets_and_is_recorded", allowed::unreachable),
        ("a_name_that_is_not_allowed_does_not_exist", refused::name),
        ("a_forged_server_name_is_reset_without_a_byte", refused::forged_name),
        ("raw_addresses_are_refused", refused::raw_addresses),
        ("a_foreign_dns_server_is_the_gateway", refused::foreign_dns),
        ("udp_quic_and_ipv6_are_refused_and_recorded", refused::packets),
        ("icmp_of_a_raw_socket_is_refused_and_recorded", refused::raw_packets),
        ("platform_addresses_and_the_host_are_out_of_reach", refused::out_of_reach),
        ("an_allowed_name_that_resolves_to_loopback_is_refused", refused::loopback_name),
        ("a_proxy_request_is_refused", refused::proxy_request),
        ("learning_lets_through_and_says_what_the_policy_would", settings::learn),
        ("undecided_is_refused_unless_told_otherwise", settings::undecided),
        ("everything_goes_through_the_upstream_proxy", settings::upstream_proxy),
        ("what_the_proxy_does_not_lead_to_is_reached_and_checked_without_it", settings::no_proxy),
        ("a_mirror_takes_the_place_of_an_archive", settings::mirror),
        ("one_connection_too_many_is_refused_and_recorded", settings::too_many),
        ("a_message_that_is_trickled_ends_by_the_gateways_deadline", attack::trickled_messages),
        ("two_thousand_silent_connections_are_ended_and_counted", attack::silent_crowd),
        ("two_thousand_open_connections_cost_bounded_memory", attack::open_crowd),
        ("a_pipelined_request_to_another_host_is_refused", attack::pipelining),
        ("hellos_that_are_split_huge_or_without_a_name", attack::hellos),
        ("a_flood_of_questions_is_refused_and_recorded", attack::question_flood),
        ("malformed_questions_do_no_harm", attack::malformed_questions),
        ("a_preface_of_http_2_is_no_http_request_to_an_allowed_host", attack::http_2),
        ("only_what_is_allowed_is_seen_on_this_machines_interfaces", wire::nothing_but_what_is_allowed),
        ("forbidden_addresses_in_answers_are_never_dialled", attack::rebinding),
    ];
    let trials = tests.iter().map(|(name, test)| Trial::test(*name, *test)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
