//! System call filters as the kernel runs them: classic BPF over `struct seccomp_data` (`seccomp(2)`).
//!
//! Our own, because filters that are made elsewhere set `no_new_privs`, under which sudo cannot work, and do not know
//! the x32 calls, which would be a way around a list of what is refused.

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW,
    SECCOMP_RET_DATA, SECCOMP_RET_ERRNO, sock_filter,
};

/// A system call that fails, instead of being made.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its number.
    pub call: i64,
    /// Under which condition.
    pub when: When,
    /// What the caller is told.
    pub errno: i32,
}

/// A condition on one argument, of which the lower 32 bits count: no call here has a meaning in the others.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// Whatever the arguments.
    Always,
    /// The argument has one of the mask's bits.
    AnyBit { argument: u32, mask: u32 },
    /// The argument is one of the values.
    OneOf { argument: u32, values: &'static [u32] },
    /// The argument is none of the values.
    NoneOf { argument: u32, values: &'static [u32] },
}

/// `AUDIT_ARCH_*` of this program (linux/audit.h).
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// From here on, call numbers are those of x32 programs.
const X32: u32 = 0x4000_0000;

/// Offsets in `struct seccomp_data`.
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;
const ARGUMENTS_AT: u32 = 16;

/// A filter that allows every call but those of the rules. Programs of other architectures find no calls at all.
pub fn program(rules: &[Rule]) -> Vec<sock_filter> {
    let mut program = vec![
        load(ARCHITECTURE_AT),
        jump(BPF_JEQ, ARCHITECTURE, 1, 0),
        fail(libc::ENOSYS),
        load(NUMBER_AT),
        jump(BPF_JGE, X32, 0, 1),
        fail(libc::ENOSYS),
    ];
    for rule in rules {
        let block = judge(rule);
        let call = u32::try_from(rule.call).unwrap_or(u32::MAX);
        program.push(jump(BPF_JEQ, call, 0, short(block.len())));
        program.extend(block);
    }
    program.push(allow());
    program
}

/// What happens once the number is the rule's: every path of it returns.
fn judge(rule: &Rule) -> Vec<sock_filter> {
    let refuse = fail(rule.errno);
    let compare = |argument, values: &[u32], found, otherwise| {
        let mut block = vec![load(ARGUMENTS_AT + 8 * argument)];
        let tests = values.iter().enumerate();
        // A match jumps over the tests that are left and over the return for no match.
        block.extend(tests.map(|(at, &value)| jump(BPF_JEQ, value, short(values.len() - at), 0)));
        block.extend([otherwise, found]);
        block
    };
    match rule.when {
        When::Always => vec![refuse],
        When::AnyBit { argument, mask } => {
            vec![load(ARGUMENTS_AT + 8 * argument), jump(BPF_JSET, mask, 0, 1), refuse, allow()]
        }
        When::OneOf { argument, values } => compare(argument, values, refuse, allow()),
        When::NoneOf { argument, values } => compare(argument, values, allow(), refuse),
    }
}

fn load(offset: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0)
}

fn jump(test: u32, value: u32, if_true: u8, if_false: u8) -> sock_filter {
    instruction(BPF_JMP | test | BPF_K, value, if_true, if_false)
}

fn allow() -> sock_filter {
    instruction(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0)
}

fn fail(errno: i32) -> sock_filter {
    instruction(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (errno.cast_unsigned() & SECCOMP_RET_DATA), 0, 0)
}

#[allow(clippy::cast_possible_truncation, reason = "every code of classic BPF fits 16 bits")]
fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}

/// Lengths of jumps: a block is a few instructions long.
fn short(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a filter as the kernel does; the upper half of an argument comes second.
    fn run(rules: &[Rule], architecture: u32, call: i64, argument: u64) -> u32 {
        let words = [u32::try_from(call).unwrap_or(u32::MAX), architecture, 0, 0];
        let low = u32::try_from(argument & 0xffff_ffff).unwrap_or_default();
        let program = program(rules);
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            let code = u32::from(step.code);
            if code == BPF_RET | BPF_K {
                return step.k;
            }
            if code == BPF_LD | BPF_W | BPF_ABS {
                accumulator = words.get(step.k as usize / 4).copied().unwrap_or(low);
                continue;
            }
            let holds = match code & !(BPF_JMP | BPF_K) {
                BPF_JSET => accumulator & step.k != 0,
                BPF_JGE => accumulator >= step.k,
                _ => accumulator == step.k,
            };
            at += usize::from(if holds { step.jt } else { step.jf });
        }
    }

    #[test]
    fn each_condition_refuses_what_it_says_and_nothing_else() {
        let rule = |call, when| Rule { call, when, errno: libc::EPERM };
        let rules = [
            rule(1, When::Always),
            rule(2, When::AnyBit { argument: 0, mask: 0x30 }),
            rule(3, When::OneOf { argument: 0, values: &[5, 6] }),
            rule(4, When::NoneOf { argument: 0, values: &[5, 6, 7] }),
        ];
        let refused = |call, argument| run(&rules, ARCHITECTURE, call, argument) != SECCOMP_RET_ALLOW;
        assert!(refused(1, 0) && !refused(0, 0) && !refused(9, 5));
        assert!(refused(2, 0x10) && refused(2, 0x21) && !refused(2, 0x0f));
        assert!(refused(3, 5) && refused(3, 6) && !refused(3, 7));
        assert!(!refused(4, 5) && !refused(4, 7) && refused(4, 8));
        assert!(refused(2, 0xffff_0000_0000_0010), "upper bits change nothing");
    }

    #[test]
    fn other_architectures_have_no_calls() {
        let no_such_call = SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
        assert_eq!(run(&[], ARCHITECTURE, 39, 0), SECCOMP_RET_ALLOW);
        assert_eq!(run(&[], 0x4000_0003, 39, 0), no_such_call);
        assert_eq!(run(&[], ARCHITECTURE, i64::from(X32) + 39, 0), no_such_call);
    }
}
