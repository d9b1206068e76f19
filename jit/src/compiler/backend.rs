//! Cranelift: its settings, and from CLIF to executable memory.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{self, Signature};
use cranelift_codegen::isa::{CallConv, OwnedTargetIsa, TargetFrontendConfig};
use cranelift_codegen::settings::{self, Configurable as _};
use cranelift_codegen::{CodegenError, Context, isa};
use cranelift_frontend::FunctionBuilderContext;
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module, ModuleReloc};

use super::constants;
use super::dataflow::Facts;
use super::floats::Observed;
use super::flow::{Block, Ending, Region, Target, Text};
use super::liveness::Liveness;
use super::summary::{self, Summaries};
use super::translate::{self, Callees, Input};
use super::{CompileError, CompileOptions};
use super::{narrow, schedule};
use crate::interpreter::Transfer;
use crate::runtime::native::memory::Provider;
use crate::runtime::native::{Batch, Function, Place};

/// Frames of native functions are smaller than this; functions with larger ones stay in tier 0.
const MAX_FRAME_BYTES: u32 = 8 << 10;

/// Longest chain of calls between two functions that look at the host's stack.
const CHAIN: u32 = 8;

/// Most stack that functions which do not look at it use together.
pub(crate) const MAX_UNCHECKED_STACK_BYTES: usize = (MAX_FRAME_BYTES * (CHAIN + 1)) as usize;

/// A Cranelift target with our settings.
fn target(options: &CompileOptions) -> Result<OwnedTargetIsa, CompileError> {
    let mut flags = settings::builder();
    let mut set = |name: &str, value: &str| {
        flags
            .set(name, value)
            .map_err(|error| CompileError::Cranelift(format!("setting {name}: {error}")))
    };
    set("opt_level", "speed")?;
    set("enable_verifier", if options.verify { "true" } else { "false" })?;
    set("is_pic", "false")?;
    set("use_colocated_libcalls", "false")?;
    // The base of guest memory.
    set("enable_pinned_reg", "true")?;
    set("unwind_info", "false")?;
    set("enable_probestack", "false")?;
    set(
        "preserve_frame_pointers",
        if options.frame_pointers { "true" } else { "false" },
    )?;
    // What these guard against is not there: guest code runs in a space of its own, by itself.
    set("enable_heap_access_spectre_mitigation", "false")?;
    set("enable_table_access_spectre_mitigation", "false")?;
    let flags = settings::Flags::new(flags);
    let refused =
        |error: &dyn std::fmt::Display| CompileError::Cranelift(format!("no target for this host: {error}"));
    let builder =
        cranelift_native::builder_with_options(options.host_features).map_err(|error| refused(&error))?;
    builder.finish(flags).map_err(|error| refused(&error))
}

/// Whether the processor multiplies and adds in one instruction. Without it Cranelift would call a library.
fn has_fused_multiplication(target: &dyn isa::TargetIsa) -> bool {
    target.name() == "aarch64"
        || target
            .isa_flags()
            .iter()
            .any(|flag| flag.name == "has_fma" && flag.as_bool() == Some(true))
}

/// What code depends on beside what is compiled: Cranelift's version, its settings, the processor's features.
///
/// # Errors
/// [`CompileError`], where Cranelift has no target for this host.
pub(crate) fn target_description(options: &CompileOptions) -> Result<String, CompileError> {
    let target = target(options)?;
    let mut text = format!(
        "cranelift {}\n{}\n{}",
        cranelift_codegen::VERSION,
        target.triple(),
        target.flags()
    );
    for value in target.isa_flags() {
        text += &format!("\n{value}");
    }
    Ok(text)
}

/// Machine code of one region.
struct Compiled {
    function: Code,
    /// Unless the function is entered as a thunk is.
    thunk: Option<Code>,
    /// Whether the function stands for its region, or only leads to tier 0.
    is_real: bool,
}

/// Machine code of one function, before it has an address.
struct Code {
    bytes: Vec<u8>,
    alignment: u64,
    relocations: Vec<ModuleReloc>,
    /// Offsets of instructions that may trap.
    traps: Vec<u32>,
    places: Vec<Place>,
}

/// Functions of the batch, for calls between them.
struct Declared<'a> {
    module: &'a mut JITModule,
    functions: &'a BTreeMap<u32, Ids>,
}

impl Callees for Declared<'_> {
    fn function(&mut self, function: &mut ir::Function, entry: u32) -> ir::FuncRef {
        let ids = self.functions[&entry];
        self.module.declare_func_in_func(ids.function, function)
    }
}

/// The two functions of a region.
#[derive(Clone, Copy)]
struct Ids {
    function: FuncId,
    thunk: Option<FuncId>,
}

/// Compiles regions into one batch of executable code.
///
/// A region that Cranelift refuses, or panics on, becomes a function that leaves for tier 0 at once: results are equal.
pub(crate) fn compile(
    text: Text<'_>,
    read_only: &[(u32, &[u8])],
    regions: &[Region],
    liveness: &Liveness,
    floats: Observed,
    options: &CompileOptions,
) -> Result<Batch, CompileError> {
    let target = target(options)?;
    let fuses = has_fused_multiplication(&*target);
    let convention = CallConv::triple_default(target.triple());
    let mut builder = JITBuilder::with_isa(
        target.clone(),
        Box::new(|call| format!("no library call: {call}")),
    );
    // Helpers go by the context: no name is ever looked up.
    builder.symbol_lookup_fn(Box::new(|_| None));
    let summaries = Summaries::close(regions, liveness);
    let checks = stack_checks(regions);

    let mut declaring = JITModule::new(JITBuilder::with_isa(
        target.clone(),
        Box::new(|call| format!("no library call: {call}")),
    ));
    let functions = declare(&mut declaring, regions, &summaries, convention)?;
    let mut compiler = Compiler {
        target: &*target,
        convention,
        keeps_places: options.places,
        context: Context::new(),
        builder: FunctionBuilderContext::new(),
        registers: regalloc2::Ctx::default(),
        control: ControlPlane::default(),
    };
    let mut compiled = Vec::with_capacity(regions.len());
    for (number, (region, &checks_stack)) in regions.iter().zip(&checks).enumerate() {
        // What liveness has not seen cannot be compiled by it.
        let is_known = region
            .blocks
            .iter()
            .all(|block| liveness.knows(u64::from(block.start)));
        let facts = Facts::of(region, &summaries);
        let input = Input {
            text,
            region,
            facts: &facts,
            summaries: &summaries,
            protection: options.protection,
            meters: options.meters,
            convention,
            checks_stack,
            constants: &constants::at_starts(region, &summaries),
            read_only,
            floats,
            fuses,
        };
        let mut callees = Declared {
            module: &mut declaring,
            functions: &functions,
        };
        let ids = functions[&region.entry];
        let code = if options.refuse == Some(number) || !is_known {
            Err(CompileError::Cranelift("refused before".into()))
        } else {
            compiler.region(ids.function, &mut callees, &input)
        };
        let (function, is_real) = match code {
            Ok(code) => (code, true),
            Err(_) => {
                let stub = stub(region.entry);
                let facts = Facts::of_stub(facts.own);
                let input = Input {
                    region: &stub,
                    facts: &facts,
                    summaries: &Summaries::none(liveness),
                    checks_stack: false,
                    constants: &[[None; 32]],
                    ..input
                };
                (compiler.region(ids.function, &mut callees, &input)?, false)
            }
        };
        let thunk = match ids.thunk {
            Some(thunk) => Some(compiler.thunk(thunk, &mut callees, &input)?),
            None => None,
        };
        compiled.push(Compiled {
            function,
            thunk,
            is_real,
        });
    }
    link(builder, regions, &summaries, convention, compiled)
}

/// A region that does nothing but leave to its own entry, which is then no native function's.
fn stub(entry: u32) -> Region {
    Region {
        entry,
        blocks: vec![Block {
            start: entry,
            steps: Vec::new(),
            ending: Ending::Jump(Target::Away(u64::from(entry))),
            ending_pc: entry,
            gas: 0,
        }],
        cut: Vec::new(),
    }
}

fn declare(
    module: &mut JITModule,
    regions: &[Region],
    summaries: &Summaries<'_>,
    convention: CallConv,
) -> Result<BTreeMap<u32, Ids>, CompileError> {
    let mut declare = |name: String, signature: &Signature| {
        module
            .declare_function(&name, Linkage::Local, signature)
            .map_err(|error| CompileError::Cranelift(error.to_string()))
    };
    regions
        .iter()
        .map(|region| {
            let summary = summaries.of(u64::from(region.entry));
            let ids = Ids {
                function: declare(
                    format!("guest_{:#x}", region.entry),
                    &translate::signature(summary, convention),
                )?,
                thunk: if summary.by_context {
                    None
                } else {
                    let name = format!("entry_{:#x}", region.entry);
                    Some(declare(name, &translate::thunk_signature(convention))?)
                },
            };
            Ok((region.entry, ids))
        })
        .collect()
}

/// Cranelift with what it keeps between functions.
struct Compiler<'a> {
    target: &'a dyn isa::TargetIsa,
    convention: CallConv,
    keeps_places: bool,
    context: Context,
    builder: FunctionBuilderContext,
    /// The register allocator's.
    registers: regalloc2::Ctx,
    control: ControlPlane,
}

impl Compiler<'_> {
    /// Compiles a region's function.
    fn region(
        &mut self,
        id: FuncId,
        callees: &mut dyn Callees,
        input: &Input<'_>,
    ) -> Result<Code, CompileError> {
        let signature = translate::signature(input.facts.own, self.convention);
        self.function(id, input.region.entry, signature, |function, builder, target| {
            translate::translate(function, builder, callees, input, target);
        })
    }

    /// Compiles its entry thunk.
    fn thunk(
        &mut self,
        id: FuncId,
        callees: &mut dyn Callees,
        input: &Input<'_>,
    ) -> Result<Code, CompileError> {
        let (entry, own) = (input.region.entry, input.facts.own);
        let signature = translate::thunk_signature(self.convention);
        self.function(id, entry, signature, |function, builder, target| {
            let callee = callees.function(function, entry);
            translate::thunk(function, builder, target, own, callee);
        })
    }

    fn function(
        &mut self,
        id: FuncId,
        entry: u32,
        signature: Signature,
        write: impl FnOnce(&mut ir::Function, &mut FunctionBuilderContext, TargetFrontendConfig),
    ) -> Result<Code, CompileError> {
        // Cranelift panics on what it does not support; nothing of ours is left half done.
        let result = catch_unwind(AssertUnwindSafe(|| {
            let Self {
                context,
                builder,
                registers,
                ..
            } = self;
            context.clear();
            context.func.signature = signature;
            write(&mut context.func, builder, self.target.frontend_config());
            let refused = |error: CodegenError| CompileError::Cranelift(format!("{entry:#x}: {error:?}"));
            let written = context.func.dfg.num_insts();
            context
                .optimize(self.target, &mut self.control)
                .map_err(refused)?;
            schedule::in_program_order(&mut context.func, written);
            narrow::upper_halves(&mut context.func);
            let code = self
                .target
                .compile_function(
                    &context.func,
                    &context.domtree,
                    registers,
                    false,
                    &mut self.control,
                )
                .map_err(refused)?
                .apply_params(&context.func.params);
            if code
                .buffer
                .frame_layout()
                .map_or(0, |frame| frame.frame_to_fp_offset)
                > MAX_FRAME_BYTES
            {
                return Err(CompileError::Frame { entry });
            }
            let relocations = code
                .buffer
                .relocs()
                .iter()
                .map(|relocation| ModuleReloc::from_mach_reloc(relocation, &context.func, id))
                .collect();
            Ok(Code {
                bytes: code.code_buffer().to_vec(),
                alignment: u64::from(code.buffer.alignment),
                relocations,
                places: if self.keeps_places {
                    places(code.buffer.get_srclocs_sorted())
                } else {
                    Vec::new()
                },
                traps: code.buffer.traps().iter().map(|trap| trap.offset).collect(),
            })
        }));
        result.unwrap_or_else(|_| {
            self.context = Context::new();
            self.builder = FunctionBuilderContext::new();
            self.registers = regalloc2::Ctx::default();
            self.control = ControlPlane::default();
            Err(CompileError::Panicked { entry })
        })
    }
}

/// Source locations are guest addresses. Code without one is what Cranelift rewrote: it computes such values right before
/// their first use, so that their place is the one that follows.
fn places(locations: &[cranelift_codegen::MachSrcLoc<cranelift_codegen::Final>]) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    let mut end = 0;
    for location in locations.iter().filter(|location| !location.loc.is_default()) {
        places.push(Place {
            offset: end,
            pc: location.loc.bits(),
        });
        end = location.end;
    }
    places.dedup_by_key(|place| place.pc);
    places
}

/// Puts code into executable memory.
fn link(
    mut builder: JITBuilder,
    regions: &[Region],
    summaries: &Summaries<'_>,
    convention: CallConv,
    compiled: Vec<Compiled>,
) -> Result<Batch, CompileError> {
    // Alignment and room for veneers, which targets with short calls take from the same memory.
    let room = |code: &Code| code.bytes.len() + code.alignment as usize + 64 + 24 * code.relocations.len();
    let bytes = compiled
        .iter()
        .map(|code| room(&code.function) + code.thunk.as_ref().map_or(0, room))
        .sum();
    let failed = |error: &dyn std::fmt::Display| CompileError::Memory(error.to_string());
    let (provider, finished) = Provider::new(bytes).map_err(|error| failed(&error))?;
    builder.memory_provider(Box::new(provider));
    let linked = catch_unwind(AssertUnwindSafe(|| {
        let mut module = JITModule::new(builder);
        let ids = declare(&mut module, regions, summaries, convention)?;
        for (region, code) in regions.iter().zip(&compiled) {
            let ids = ids[&region.entry];
            let thunk = ids.thunk.zip(code.thunk.as_ref());
            for (id, code) in [(ids.function, &code.function)].into_iter().chain(thunk) {
                module
                    .define_function_bytes(id, code.alignment, &code.bytes, &code.relocations)
                    .map_err(|error| failed(&error))?;
            }
        }
        module.finalize_definitions().map_err(|error| failed(&error))?;
        let address = |id| module.get_finalized_function(id) as usize;
        let addresses: Vec<(usize, usize)> = regions
            .iter()
            .map(|region| {
                let ids = ids[&region.entry];
                (address(ids.function), address(ids.thunk.unwrap_or(ids.function)))
            })
            .collect();
        Ok(addresses)
    }));
    let addresses = linked.unwrap_or_else(|_| Err(CompileError::Memory("cranelift-jit panicked".into())))?;
    let memory = finished
        .take()
        .ok_or_else(|| CompileError::Memory("the module was not finalised".into()))?;
    let is_position_independent = compiled
        .iter()
        .flat_map(|code| [Some(&code.function), code.thunk.as_ref()])
        .flatten()
        .all(|code| is_relative(code, bytes));
    let liveness = summaries.liveness();
    let mut traps = Vec::new();
    let mut functions = Vec::new();
    for ((region, code), (function, thunk)) in regions.iter().zip(compiled).zip(addresses) {
        let offset = (function - memory.start()) as u32;
        traps.extend(code.function.traps.iter().map(|trap| offset + trap));
        functions.push(Function {
            entry: region.entry,
            offset,
            len: code.function.bytes.len() as u32,
            thunk: (thunk - memory.start()) as u32,
            thunk_len: code.thunk.map_or(0, |thunk| thunk.bytes.len() as u32),
            instructions: region.len() as u32,
            places: code.function.places.into(),
            is_real: code.is_real,
            is_callable: liveness.permits(Transfer::Call, u64::from(region.entry)),
        });
    }
    Ok(Batch::new(memory, traps, functions, is_position_independent))
}

/// How far a call reaches on AArch64, either way. Where the callee is farther, it goes by a veneer.
const ARM64_CALL_REACH: usize = 128 << 20;

/// Whether code refers to other code of its batch, which has so many bytes, only by distances: they stay what they are
/// when the batch is moved. A veneer has an address in it.
fn is_relative(code: &Code, batch_bytes: usize) -> bool {
    code.relocations.iter().all(|relocation| match relocation.kind {
        Reloc::X86PCRel4 | Reloc::X86CallPCRel4 => true,
        Reloc::Arm64Call => batch_bytes <= ARM64_CALL_REACH,
        _ => false,
    })
}

/// Which regions have to look at the host's stack: those that may come to call themselves, call what is not known, or
/// stand at the end of a long chain of calls.
fn stack_checks(regions: &[Region]) -> Vec<bool> {
    let indices: BTreeMap<u32, usize> = regions
        .iter()
        .enumerate()
        .map(|(i, region)| (region.entry, i))
        .collect();
    // Height above the deepest call, once everything called is known; unknown while that has not been settled, which
    // stays so for whoever takes part in a cycle.
    let mut heights: Vec<Option<u32>> = vec![None; regions.len()];
    let mut callers: Vec<Vec<usize>> = vec![Vec::new(); regions.len()];
    let mut open: Vec<usize> = vec![0; regions.len()];
    let mut checks = vec![false; regions.len()];
    for (i, region) in regions.iter().enumerate() {
        for block in &region.blocks {
            if summary::calls_unknown(block) {
                checks[i] = true;
            }
            for callee in summary::callees(block) {
                if let Some(&callee) = indices.get(&callee) {
                    callers[callee].push(i);
                    open[i] += 1;
                }
            }
        }
    }
    let mut ready: Vec<usize> = (0..regions.len()).filter(|&i| open[i] == 0).collect();
    let mut reached = vec![0; regions.len()];
    while let Some(i) = ready.pop() {
        let mut height = reached[i];
        if height >= CHAIN {
            checks[i] = true;
        }
        if checks[i] {
            height = 0;
        }
        heights[i] = Some(height);
        for &caller in &callers[i] {
            reached[caller] = reached[caller].max(height + 1);
            open[caller] -= 1;
            if open[caller] == 0 {
                ready.push(caller);
            }
        }
    }
    for (check, height) in checks.iter_mut().zip(heights) {
        *check |= height.is_none();
    }
    checks
}
