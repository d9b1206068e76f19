//! ckb-vm: its interpreter in assembly, cycles counted as on its chain.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ckb_vm::cost_model::estimate_cycles;
use ckb_vm::machine::VERSION2;
use ckb_vm::machine::asm::{AsmCoreMachine, AsmMachine};
use ckb_vm::registers::{A0, A1, A2, A7};
use ckb_vm::{
    Bytes, DefaultMachineBuilder, DefaultMachineRunner, Error, ISA_A, ISA_B, ISA_IMC, ISA_MOP, Memory,
    Register, SupportMachine, Syscalls,
};
use millrace_benches::host::cpu_time;
use millrace_benches::programs::Program;
use millrace_benches::toolchain;
use millrace_tests::tools;

use super::{Prepared, Run};

const WRITE: u64 = 64;
const CLOCK_GETTIME: u64 = 113;

/// Takes what the guest writes; has no clock.
struct Output(Arc<Mutex<Vec<u8>>>);

impl<Machine: SupportMachine> Syscalls<Machine> for Output {
    fn initialize(&mut self, _: &mut Machine) -> Result<(), Error> {
        Ok(())
    }

    fn ecall(&mut self, machine: &mut Machine) -> Result<bool, Error> {
        let number = machine.registers()[A7].to_u64();
        match number {
            WRITE => {
                let [pointer, len] = [A1, A2].map(|register| machine.registers()[register].to_u64());
                let bytes = machine.memory_mut().load_bytes(pointer, len)?;
                self.0
                    .lock()
                    .expect("nothing panics with it")
                    .extend_from_slice(&bytes);
                machine.set_register(A0, Machine::REG::from_u64(len));
            }
            CLOCK_GETTIME => machine.set_register(A0, Machine::REG::from_i64(-1)),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// RV64IMAC with Zba, Zbb and Zbs: the guest for machines that lack Zicond.
pub fn build(program: &Program, directory: &Path) -> PathBuf {
    let source = toolchain::c_sources().join(format!("{}.c", program.name));
    let file = directory.join(format!("{}.rv64", program.name));
    let linker = tools::find("ld.lld-19", "lld-19");
    let flags = format!(
        "--target=riscv64-unknown-elf -march=rv64imac_zba_zbb_zbs -mno-strict-align -mabi=lp64 -mcmodel=medany -static \
         --ld-path={}",
        linker.display()
    );
    toolchain::clang(&[source], &flags, &file);
    file
}

pub fn prepare(program: &Program, directory: &Path) -> Prepared {
    let code = Bytes::from(std::fs::read(build(program, directory)).expect("the linker's output is there"));
    Box::new(move |work| {
        let output = Arc::new(Mutex::new(Vec::new()));
        let isa = ISA_IMC | ISA_A | ISA_B | ISA_MOP;
        let core = <Box<AsmCoreMachine> as SupportMachine>::new(isa, VERSION2, u64::MAX);
        let machine = DefaultMachineBuilder::new(core)
            .instruction_cycle_func(Box::new(estimate_cycles))
            .syscall(Box::new(Output(Arc::clone(&output))))
            .build();
        let mut machine = AsmMachine::new(machine);
        let arguments = ["program".to_owned(), work.to_string()];
        machine
            .load_program(&code, arguments.map(|argument| Ok(argument.into())).into_iter())
            .expect("it takes the program");
        let start = cpu_time();
        let status = machine.run();
        let time = cpu_time().saturating_sub(start);
        assert!(matches!(status, Ok(0)), "the guest ends by exit: {status:?}");
        let output = std::mem::take(&mut *output.lock().expect("nothing panics with it"));
        Run { time, output }
    })
}
