//! Reads a module with `#[contract]`.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Ident, Span, TokenStream};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned as _;
use syn::{
    Attribute, FnArg, Item, ItemFn, ItemMod, ItemStruct, LitInt, Meta, Pat, ReturnType, Signature, Token,
    Type, Visibility,
};

use crate::attributes::{derives, docs, plain};
use crate::{events, storage, types};

/// What a module holds.
pub struct Contract {
    pub attributes: Vec<Attribute>,
    pub visibility: Visibility,
    pub name: Ident,
    /// Everything, without the attributes that the macro read.
    pub items: Vec<Item>,
    pub init: Entry,
    pub functions: Vec<Function>,
    /// Types that the interface lists.
    pub events: Vec<Ident>,
    pub errors: Vec<Ident>,
    pub storage: Vec<Ident>,
}

/// A function that frames enter.
pub struct Entry {
    pub name: Ident,
    pub interface_name: String,
    pub payable: bool,
    pub arguments: Vec<Argument>,
    pub argument_names: Vec<String>,
    pub output: ReturnType,
    pub docs: String,
    /// `#[cfg]` attributes.
    pub conditions: Vec<Attribute>,
}

/// An argument of an entry.
pub struct Argument {
    pub name: Ident,
    pub kind: Type,
}

/// An entry that calls reach.
pub struct Function {
    pub selector: u8,
    pub entry: Entry,
}

/// What `#[init]` and `#[call]` say.
#[derive(Default)]
struct Marks {
    selector: Option<(u8, Span)>,
    payable: bool,
}

impl Parse for Marks {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut marks = Self::default();
        while !input.is_empty() {
            if input.peek(LitInt) {
                let literal: LitInt = input.parse()?;
                let selector = literal
                    .base10_parse()
                    .map_err(|_| syn::Error::new(literal.span(), "a selector is one byte: 0x00 to 0xff"))?;
                if marks.selector.replace((selector, literal.span())).is_some() {
                    return Err(syn::Error::new(literal.span(), "a function has one selector"));
                }
            } else {
                let word: Ident = input
                    .parse()
                    .map_err(|error| syn::Error::new(error.span(), "expected a selector or `payable`"))?;
                if word != "payable" {
                    return Err(syn::Error::new(word.span(), "expected a selector or `payable`"));
                }
                marks.payable = true;
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(marks)
    }
}

/// Reads everything that can be, and reports all that is wrong at once.
pub fn read(module: ItemMod) -> syn::Result<Contract> {
    let Some((_, mut items)) = module.content else {
        return Err(syn::Error::new(
            module.span(),
            "`#[contract]` needs the module's functions in this file: `mod name { .. }`",
        ));
    };
    let mut found = Found::default();
    for item in &mut items {
        if let Err(error) = found.item(item) {
            found.wrong(error);
        }
    }
    inner_storage(&items, &mut found.inner_storage);
    found.check_selectors();
    let events = found
        .events
        .iter()
        .map(|(ident, name)| (name.clone(), ident.span()));
    // One without a name is refused by its derive.
    let events: Vec<_> = events.filter(|(name, _)| !name.is_empty()).collect();
    found.check_names("event", &events);
    let errors = std::mem::take(&mut found.error_names);
    found.check_names("error", &errors);
    found.check_storage();
    if !found.is_init_marked {
        found.wrong(syn::Error::new(
            module.ident.span(),
            "this contract has no initialiser: mark one function with `#[init]`, if only `#[init] fn init() {}`",
        ));
    }
    if let Some(error) = found.error {
        return Err(error);
    }
    let init = found.inits.swap_remove(0);
    Ok(Contract {
        attributes: module.attrs,
        visibility: module.vis,
        name: module.ident,
        items,
        init,
        functions: found
            .functions
            .into_iter()
            .map(|(function, _)| function)
            .collect(),
        events: found.events.into_iter().map(|(ident, _)| ident).collect(),
        errors: found.errors,
        storage: found
            .storage
            .iter()
            .map(|structure| structure.ident.clone())
            .collect(),
    })
}

#[derive(Default)]
struct Found {
    inits: Vec<Entry>,
    /// Whether a function is meant to be the initialiser, even if something is wrong with it.
    is_init_marked: bool,
    functions: Vec<(Function, Span)>,
    /// Events, each with the name that it is logged under.
    events: Vec<(Ident, String)>,
    errors: Vec<Ident>,
    /// Variants of all errors.
    error_names: Vec<(String, Span)>,
    storage: Vec<ItemStruct>,
    /// Structures with `#[storage]` in modules inside of this one, which share its storage.
    inner_storage: Vec<ItemStruct>,
    error: Option<syn::Error>,
}

/// What the macro puts beside the contract's functions.
const GENERATED: [&str; 3] = ["dispatch", "interface", "_start"];

fn is_storage(attribute: &Attribute) -> bool {
    let last = attribute.path().segments.last();
    last.is_some_and(|segment| segment.ident == "storage")
}

/// Structures with `#[storage]` in modules of `items`.
fn inner_storage(items: &[Item], found: &mut Vec<ItemStruct>) {
    for item in items {
        let Item::Mod(module) = item else { continue };
        let Some((_, items)) = &module.content else {
            continue;
        };
        // A contract in a contract is a program of its own, with a storage of its own.
        let is_contract = |attribute: &Attribute| {
            let last = attribute.path().segments.last();
            last.is_some_and(|segment| segment.ident == "contract")
        };
        if module.attrs.iter().any(is_contract) {
            continue;
        }
        for item in items {
            if let Item::Struct(structure) = item
                && structure.attrs.iter().any(is_storage)
            {
                found.push(structure.clone());
            }
        }
        inner_storage(items, found);
    }
}

impl Found {
    fn wrong(&mut self, error: syn::Error) {
        match &mut self.error {
            Some(errors) => errors.combine(error),
            None => self.error = Some(error),
        }
    }

    fn item(&mut self, item: &mut Item) -> syn::Result<()> {
        match item {
            Item::Fn(function) => self.function(function),
            Item::Struct(structure) => {
                if derives(&structure.attrs, "Event") {
                    // A name that will not do is for the derive to refuse.
                    let name = events::name(&structure.attrs, &structure.ident).unwrap_or_default();
                    self.events.push((structure.ident.clone(), name));
                }
                if structure.attrs.iter().any(is_storage) {
                    self.storage.push(structure.clone());
                }
                Ok(())
            }
            Item::Enum(enumeration) => {
                if derives(&enumeration.attrs, "Error") {
                    self.errors.push(enumeration.ident.clone());
                    let names = enumeration.variants.iter().map(|variant| &variant.ident);
                    self.error_names
                        .extend(names.map(|name| (plain(name), name.span())));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes the attributes off a function and notes what they say.
    fn function(&mut self, function: &mut ItemFn) -> syn::Result<()> {
        let name = &function.sig.ident;
        if GENERATED.iter().any(|generated| name == generated) {
            self.wrong(syn::Error::new(
                name.span(),
                format!("`{name}` is made by `#[contract]`: give this function another name"),
            ));
        }
        let mut marks = None;
        let mut kept = Vec::new();
        for attribute in std::mem::take(&mut function.attrs) {
            let is_init = attribute.path().is_ident("init");
            self.is_init_marked |= is_init;
            if !is_init && !attribute.path().is_ident("call") {
                kept.push(attribute);
                continue;
            }
            if marks.is_some() {
                let text = "a function has one `#[init]` or `#[call(..)]`";
                return Err(syn::Error::new_spanned(attribute, text));
            }
            let said = match &attribute.meta {
                Meta::Path(_) => Marks::default(),
                _ => attribute.parse_args()?,
            };
            marks = Some((is_init, said, attribute));
        }
        function.attrs = kept;
        let Some((is_init, said, attribute)) = marks else {
            return Ok(());
        };
        let entry = entry(function, said.payable)?;
        match (is_init, said.selector) {
            (true, None) if self.inits.is_empty() => self.inits.push(entry),
            (true, None) => {
                let text = format!("there is an initialiser already: `{}`", self.inits[0].name);
                return Err(syn::Error::new_spanned(attribute, text));
            }
            (true, Some((_, span))) => {
                return Err(syn::Error::new(
                    span,
                    "an initialiser has no selector: its input is the deploy's",
                ));
            }
            (false, Some((selector, span))) => self.functions.push((Function { selector, entry }, span)),
            (false, None) => {
                let text = "which first byte of an input reaches this function? Say it: `#[call(0x01)]`";
                return Err(syn::Error::new_spanned(attribute, text));
            }
        }
        Ok(())
    }

    /// Who reads a log or a revert has the name alone to go by.
    fn check_names(&mut self, kind: &str, names: &[(String, Span)]) {
        let mut taken = BTreeSet::new();
        for (name, span) in names {
            if !taken.insert(name) {
                let text = format!(
                    "another {kind} of this contract is named `{name}`: callers could not tell them apart"
                );
                self.wrong(syn::Error::new(*span, text));
            }
        }
    }

    fn check_selectors(&mut self) {
        let mut taken: BTreeMap<u8, String> = BTreeMap::new();
        let mut errors = Vec::new();
        for (function, span) in &self.functions {
            let (selector, name) = (function.selector, function.entry.interface_name.clone());
            if let Some(other) = taken.get(&selector) {
                let text = format!("selector {selector:#04x} is `{other}`'s already");
                errors.push(syn::Error::new(*span, text));
            } else {
                taken.insert(selector, name);
            }
        }
        errors.into_iter().for_each(|error| self.wrong(error));
    }

    /// Places of different structures must not meet either, those of modules inside of this one included; within one,
    /// `#[storage]` itself sees to that.
    fn check_storage(&mut self) {
        let [first, others @ ..] = &[&self.storage[..], &self.inner_storage].concat()[..] else {
            return;
        };
        let mut all = first.clone();
        let mut errors = Vec::new();
        for other in others {
            match (storage::places(&all), storage::places(other)) {
                (Ok(before), Ok(after)) => {
                    errors.extend(storage::collisions(&before, &after));
                }
                _ => return,
            }
            if let (syn::Fields::Named(all), syn::Fields::Named(more)) = (&mut all.fields, &other.fields) {
                all.named.extend(more.named.iter().cloned());
            }
        }
        errors.into_iter().for_each(|error| self.wrong(error));
    }
}

fn entry(function: &ItemFn, payable: bool) -> syn::Result<Entry> {
    let signature = &function.sig;
    refuse_special(signature)?;
    let mut arguments = Vec::new();
    for input in &signature.inputs {
        let FnArg::Typed(typed) = input else {
            return Err(syn::Error::new_spanned(
                input,
                "contract functions have no `self`: storage and host are reached from everywhere",
            ));
        };
        let Pat::Ident(pattern) = &*typed.pat else {
            return Err(syn::Error::new_spanned(
                &typed.pat,
                "an argument has a name: the interface lists it",
            ));
        };
        types::check(&typed.ty)?;
        arguments.push(Argument {
            name: pattern.ident.clone(),
            kind: (*typed.ty).clone(),
        });
    }
    if let ReturnType::Type(_, kind) = &signature.output {
        check_output(kind)?;
    }
    Ok(Entry {
        name: signature.ident.clone(),
        interface_name: plain(&signature.ident),
        payable,
        argument_names: arguments.iter().map(|argument| plain(&argument.name)).collect(),
        arguments,
        output: signature.output.clone(),
        docs: docs(&function.attrs),
        conditions: function
            .attrs
            .iter()
            .filter(|attribute| attribute.path().is_ident("cfg"))
            .cloned()
            .collect(),
    })
}

fn refuse_special(signature: &Signature) -> syn::Result<()> {
    let refuse = |tokens: &dyn quote::ToTokens, text: &str| {
        let tokens: TokenStream = tokens.to_token_stream();
        Err(syn::Error::new_spanned(tokens, text))
    };
    if let Some(token) = &signature.asyncness {
        return refuse(
            token,
            "nothing in a contract waits: this function cannot be async",
        );
    }
    if let Some(token) = &signature.unsafety {
        return refuse(token, "calls come from anywhere: this function cannot be unsafe");
    }
    if let Some(lifetime) = signature.generics.lifetimes().next() {
        return refuse(
            lifetime,
            "arguments borrow from the input: leave lifetimes out, as in `fn f(text: &str) -> &str`",
        );
    }
    if !signature.generics.params.is_empty() {
        return refuse(
            &signature.generics,
            "an input has one encoding: this function cannot be generic",
        );
    }
    Ok(())
}

/// The success of a `Result` is what is encoded.
fn check_output(kind: &Type) -> syn::Result<()> {
    if let Type::Never(never) = kind {
        return Err(syn::Error::new_spanned(
            never,
            "a function that does not return has no output",
        ));
    }
    let Type::Path(path) = kind else {
        return types::check(kind);
    };
    let last = path.path.segments.last();
    let Some(result) = last.filter(|segment| segment.ident == "Result") else {
        return types::check(kind);
    };
    match &result.arguments {
        syn::PathArguments::AngleBracketed(arguments) => match arguments.args.first() {
            Some(syn::GenericArgument::Type(success)) => types::check(success),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}
