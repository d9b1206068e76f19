use std::sync::Arc;
use std::time::Instant;
use millrace_jit::machine::{MAX_GAS_LIMIT, machine};
use millrace_jit::{Ecall, Flow, Host, Instance, Program, Tier};
#[derive(Default)]
struct Recorder(Vec<u8>);
impl Host for Recorder {
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow {
        if call.number != 64 { return Flow::Return; }
        match call.memory.read(call.args[1], call.args[2]) {
            Ok(bytes) => self.0.extend_from_slice(bytes),
            Err(kind) => return Flow::Trap(kind),
        }
        call.results[0] = call.args[2];
        Flow::Continue
    }
}
#[allow(clippy::disallowed_methods)]
fn main() {
    let interp = std::env::var("INTERP").is_ok();
    for path in std::env::args().skip(1).filter(|a| !a.starts_with("--")) {
        let elf = std::fs::read(&path).unwrap();
        let program = Arc::new(Program::load(&elf, machine(1).unwrap()).unwrap());
        let start = Instant::now();
        Instance::new(program.clone()).prepare(Tier::Jit).unwrap();
        let compile = start.elapsed();
        let tiers: &[Tier] = if interp { &[Tier::Jit, Tier::Auto, Tier::Interpreter] } else { &[Tier::Jit, Tier::Auto] };
        let mut best = Vec::new();
        let mut outs = Vec::new();
        for &tier in tiers {
            let mut b = f64::MAX;
            let mut g = 0;
            for _ in 0..5 {
                let mut host = Recorder::default();
                let mut i = Instance::new(program.clone()); {
                    let work = std::env::var("WORK").unwrap_or("1".into());
                    let sp = 0xffff_0000_u64 - 256;
                    let m = i.memory_mut();
                    m.write(sp, &2_u64.to_le_bytes()).unwrap();
                    m.write(sp + 8, &(sp + 64).to_le_bytes()).unwrap();
                    m.write(sp + 16, &(sp + 128).to_le_bytes()).unwrap();
                    m.write(sp + 128, work.as_bytes()).unwrap();
                    i.set_stack_pointer(sp);
                }
                let s = Instant::now();
                let o = i.run(tier, MAX_GAS_LIMIT, &mut host);
                b = b.min(s.elapsed().as_secs_f64() * 1e3);
                g = o.gas_used;
                outs.push((o.end, o.gas_used, host.0));
            }
            best.push(b);
            let _ = g;
        }
        let same = outs.iter().all(|o| *o == outs[0]);
        println!("{path}: text {} compile {:.1} ms; {:?} ms; gas {} same {same} end {:?} out {}", program.text_len(), compile.as_secs_f64() * 1e3, best, outs[0].1, outs[0].0, String::from_utf8_lossy(&outs[0].2).trim());
    }
}
