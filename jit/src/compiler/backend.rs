//! Cranelift: its settings, and from CLIF to executable memory.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{self, Signature};
use cranelift_codegen::isa::{CallConv, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable as _};
use cranelift_codegen::{Context, isa};
use cranelift_frontend::FunctionBuilderContext;
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module, ModuleReloc};

use super::constants;
use super::dataflow::{Facts, PASSED, Summaries};
use super::flow::{Block, Ending, Region, Target, Text};
use super::translate::{self, Callees, Input};
use super::{CompileError, Options};
use crate::runtime::native::{Batch, Function, Place};
use crate::runtime::native::memory::Provider;

/// Frames of native functions are smaller than this, so that functions which do not look at the host's stack cannot
/// pass its reserve. Larger ones stay in tier 0.
const MAX_FRAME_BYTES: u32 = 16 << 10;

/// A Cranelift target with our settings.
pub(crate) fn target(options: &Options) -> Result<OwnedTargetIsa, CompileError> {
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
    set("unwind_info", "false")?;
    set("enable_probestack", "false")?;
    // What these guard against is not there: guest code runs in a space of its own, by itself.
    set("enable_heap_access_spectre_mitigation", "false")?;
    set("enable_table_access_spectre_mitigation", "false")?;
    let flags = settings::Flags::new(flags);
    let refused = |error: &dyn std::fmt::Display| CompileError::Cranelift(format!("no target for this host: {error}"));
    let builder = cranelift_native::builder_with_options(options.host_features).map_err(|error| refused(&error))?;
    builder.finish(flags).map_err(|error| refused(&error))
}

/// Machine code of one region, before it has an address.
struct Compiled {
    bytes: Vec<u8>,
    alignment: u64,
    relocations: Vec<ModuleReloc>,
    /// Offsets of instructions that may trap.
    traps: Vec<u32>,
    places: Vec<Place>,
    /// Whether it stands for its region, or only leads to tier 0.
    is_real: bool,
}

/// Functions of the batch, for calls between them.
struct Declared<'a> {
    module: &'a mut JITModule,
    functions: &'a BTreeMap<u32, FuncId>,
}

impl Callees for Declared<'_> {
    fn function(&mut self, function: &mut ir::Function, entry: u32) -> ir::FuncRef {
        let id = self.functions[&entry];
        self.module.declare_func_in_func(id, function)
    }
}

/// Compiles regions into one batch of executable code.
///
/// A region that Cranelift refuses, or panics on, becomes a function that leaves for tier 0 at once: results are equal.
pub(crate) fn compile(
    text: Text<'_>,
    read_only: &[(u32, &[u8])],
    regions: &[Region],
    options: &Options,
) -> Result<Batch, CompileError> {
    let target = target(options)?;
    let signature = translate::signature(CallConv::triple_default(target.triple()));
    let mut builder = JITBuilder::with_isa(target.clone(), Box::new(|call| format!("no library call: {call}")));
    // Helpers go by the context: no name is ever looked up.
    builder.symbol_lookup_fn(Box::new(|_| None));
    let summaries = Summaries::close(regions);
    let checks = stack_checks(regions);

    let mut declaring = JITModule::new(JITBuilder::with_isa(
        target.clone(),
        Box::new(|call| format!("no library call: {call}")),
    ));
    let functions = declare(&mut declaring, regions, &signature)?;
    let mut scratch = Scratch {
        context: Context::new(),
        builder: FunctionBuilderContext::new(),
        control: ControlPlane::default(),
    };
    let mut compiled = Vec::with_capacity(regions.len());
    for (region, &checks_stack) in regions.iter().zip(&checks) {
        let facts = Facts::of(region, &summaries);
        let input = Input {
            text,
            region,
            facts: &facts,
            summaries: &summaries,
            protection: options.protection,
            checks_stack,
            constants: &constants::at_starts(region, &summaries),
            read_only,
        };
        let mut callees = Declared {
            module: &mut declaring,
            functions: &functions,
        };
        let id = functions[&region.entry];
        let refuses = options.refuse.is_some_and(|refused| refused == region.entry);
        let code = if refuses {
            Err(CompileError::Cranelift("told to refuse".into()))
        } else {
            one(&mut scratch, &*target, id, &signature, &mut callees, &input, options.places)
        };
        let code = match code {
            Ok(code) => code,
            Err(_) => {
                let stub = stub(region.entry);
                let facts = Facts {
                    dirty: vec![PASSED],
                    live: vec![PASSED],
                    writes: super::registers::Registers::NONE,
                };
                let input = Input {
                    region: &stub,
                    facts: &facts,
                    summaries: &Summaries::default(),
                    checks_stack: false,
                    constants: &[[None; 32]],
                    ..input
                };
                let mut code = one(&mut scratch, &*target, id, &signature, &mut callees, &input, options.places)?;
                code.is_real = false;
                code
            }
        };
        compiled.push(code);
    }
    link(builder, regions, &signature, compiled)
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
    signature: &Signature,
) -> Result<BTreeMap<u32, FuncId>, CompileError> {
    regions
        .iter()
        .map(|region| {
            let name = format!("guest_{:#x}", region.entry);
            let id = module
                .declare_function(&name, Linkage::Local, signature)
                .map_err(|error| CompileError::Cranelift(error.to_string()))?;
            Ok((region.entry, id))
        })
        .collect()
}

struct Scratch {
    context: Context,
    builder: FunctionBuilderContext,
    control: ControlPlane,
}

/// Compiles one region.
fn one(
    scratch: &mut Scratch,
    target: &dyn isa::TargetIsa,
    id: FuncId,
    signature: &Signature,
    callees: &mut dyn Callees,
    input: &Input<'_>,
    keeps_places: bool,
) -> Result<Compiled, CompileError> {
    // Cranelift panics on what it does not support; nothing of ours is left half done.
    let result = catch_unwind(AssertUnwindSafe(|| {
        let Scratch {
            context,
            builder,
            control,
        } = scratch;
        context.clear();
        context.func.signature = signature.clone();
        translate::translate(&mut context.func, builder, callees, input, target.frontend_config());
        context
            .compile(target, control)
            .map_err(|error| CompileError::Cranelift(format!("{:#x}: {:?}", input.region.entry, error.inner)))?;
        let code = context.compiled_code().expect("it was compiled");
        if code.buffer.frame_layout().map_or(0, |frame| frame.frame_to_fp_offset) > MAX_FRAME_BYTES {
            return Err(CompileError::Frame {
                entry: input.region.entry,
            });
        }
        let relocations = code
            .buffer
            .relocs()
            .iter()
            .map(|relocation| ModuleReloc::from_mach_reloc(relocation, &context.func, id))
            .collect();
        Ok(Compiled {
            bytes: code.code_buffer().to_vec(),
            alignment: u64::from(code.buffer.alignment),
            relocations,
            places: if keeps_places { places(code.buffer.get_srclocs_sorted()) } else { Vec::new() },
            traps: code.buffer.traps().iter().map(|trap| trap.offset).collect(),
            is_real: true,
        })
    }));
    result.unwrap_or_else(|_| {
        *scratch = Scratch {
            context: Context::new(),
            builder: FunctionBuilderContext::new(),
            control: ControlPlane::default(),
        };
        Err(CompileError::Panicked {
            entry: input.region.entry,
        })
    })
}

/// Source locations are guest addresses.
fn places(locations: &[cranelift_codegen::MachSrcLoc<cranelift_codegen::Final>]) -> Vec<Place> {
    let mut places: Vec<Place> = locations
        .iter()
        .filter(|location| !location.loc.is_default())
        .map(|location| Place {
            offset: location.start,
            pc: location.loc.bits(),
        })
        .collect();
    places.dedup_by_key(|place| place.pc);
    places
}

/// Puts code into executable memory.
fn link(
    mut builder: JITBuilder,
    regions: &[Region],
    signature: &Signature,
    compiled: Vec<Compiled>,
) -> Result<Batch, CompileError> {
    // Alignment and room for veneers, which targets with short calls take from the same memory.
    let bytes: usize = compiled
        .iter()
        .map(|code| code.bytes.len() + code.alignment as usize + 64 + 24 * code.relocations.len())
        .sum();
    let failed = |error: &dyn std::fmt::Display| CompileError::Memory(error.to_string());
    let (provider, finished) = Provider::new(bytes).map_err(|error| failed(&error))?;
    builder.memory_provider(Box::new(provider));
    let linked = catch_unwind(AssertUnwindSafe(|| {
        let mut module = JITModule::new(builder);
        let functions = declare(&mut module, regions, signature)?;
        for (region, code) in regions.iter().zip(&compiled) {
            module
                .define_function_bytes(functions[&region.entry], code.alignment, &code.bytes, &code.relocations)
                .map_err(|error| failed(&error))?;
        }
        module.finalize_definitions().map_err(|error| failed(&error))?;
        let addresses: Vec<usize> = regions
            .iter()
            .map(|region| module.get_finalized_function(functions[&region.entry]) as usize)
            .collect();
        Ok(addresses)
    }));
    let addresses = linked.unwrap_or_else(|_| Err(CompileError::Memory("cranelift-jit panicked".into())))?;
    let memory = finished
        .take()
        .ok_or_else(|| CompileError::Memory("the module was not finalised".into()))?;
    let mut traps = Vec::new();
    let mut functions = Vec::new();
    for ((region, code), address) in regions.iter().zip(compiled).zip(addresses) {
        let offset = (address - memory.start()) as u32;
        traps.extend(code.traps.iter().map(|trap| offset + trap));
        functions.push(Function {
            entry: region.entry,
            offset,
            len: code.bytes.len() as u32,
            instructions: region.len() as u32,
            places: code.places.into(),
            is_real: code.is_real,
        });
    }
    Ok(Batch::new(memory, traps, functions))
}

/// Which regions have to look at the host's stack: those that may come to call themselves, call what is not known, or
/// stand at the end of a long chain of calls.
fn stack_checks(regions: &[Region]) -> Vec<bool> {
    /// Longest chain of calls between two functions that look.
    const CHAIN: u32 = 8;
    let indices: BTreeMap<u32, usize> = regions.iter().enumerate().map(|(i, region)| (region.entry, i)).collect();
    // Height above the deepest call, once everything called is known; unknown while that has not been settled, which
    // stays so for whoever takes part in a cycle.
    let mut heights: Vec<Option<u32>> = vec![None; regions.len()];
    let mut callers: Vec<Vec<usize>> = vec![Vec::new(); regions.len()];
    let mut open: Vec<usize> = vec![0; regions.len()];
    let mut checks = vec![false; regions.len()];
    for (i, region) in regions.iter().enumerate() {
        for block in &region.blocks {
            if super::dataflow::calls_unknown(block) {
                checks[i] = true;
            }
            for callee in super::dataflow::callees(block) {
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
