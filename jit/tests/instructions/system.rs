//! Fences, host calls, breakpoints.

use millrace_jit::{End, Trap, TrapKind};

use crate::common::{CODE, Guest};

const FENCES: &[&str] = &["fence", "fence.tso", "pause", "fence.i"];
const BREAKPOINTS: &[&str] = &["ebreak", "c.ebreak"];

pub fn names() -> impl Iterator<Item = &'static str> {
    FENCES.iter().chain(BREAKPOINTS).copied().chain(["ecall"])
}

#[test]
fn fences_do_nothing() {
    for name in FENCES {
        let guest = (1..32).fold(Guest::new(), |guest, register| {
            guest.register(register, 3 << register)
        });
        let ran = guest.clone().op(name, 0, 0, 0, 0).ecall().run();
        assert_eq!(ran.outcome.end, End::Returned, "{name}");
        assert_eq!(ran.instance.registers(), &guest.registers(), "{name}");
    }
}

#[test]
fn fences_ignore_their_other_fields() {
    // fm, predecessors, successors, rs1 and rd all set.
    for word in [0xffff_8f8f_u32, 0xffff_9f8f] {
        let ran = Guest::new()
            .register(31, 7)
            .bytes(&word.to_le_bytes())
            .ecall()
            .run();
        assert_eq!(
            (&ran.outcome.end, ran.instance.registers()[31]),
            (&End::Returned, 7),
            "{word:#x}"
        );
    }
}

#[test]
fn breakpoints_trap() {
    for name in BREAKPOINTS {
        let ran = Guest::new().op("c.nop", 0, 0, 0, 0).op(name, 0, 0, 0, 0).run();
        let trap = Trap {
            kind: TrapKind::Breakpoint,
            pc: CODE + 2,
        };
        assert_eq!(ran.outcome.end, End::Trapped(trap), "{name}");
    }
}

#[test]
fn ecall_goes_to_the_host() {
    let ran = Guest::new().ecall().run();
    assert_eq!(ran.outcome.end, End::Returned);
    assert_eq!(ran.outcome.instructions, Some(Guest::PROLOGUE_INSTRUCTIONS + 1));
}
