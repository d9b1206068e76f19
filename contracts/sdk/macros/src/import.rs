//! `import!`: from another contract's interface to a client of it.

use std::path::PathBuf;

use millrace_contract_interface::{Definition, Field, Function, Interface, MAX_DOCUMENT_BYTES, Type};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::{LitStr, Token};

/// `"path/to/token.json"`, and perhaps `as name`.
struct Arguments {
    path: LitStr,
    name: Option<Ident>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let path = input.parse().map_err(|error| {
            syn::Error::new(
                error.span(),
                "expected the path of an interface: `\"../token.json\"`",
            )
        })?;
        let name = if input.parse::<Option<Token![as]>>()?.is_some() {
            Some(input.parse()?)
        } else {
            None
        };
        input.parse::<Option<Token![;]>>()?;
        Ok(Self { path, name })
    }
}

pub fn expand(arguments: TokenStream) -> syn::Result<TokenStream> {
    let Arguments { path, name } = syn::parse2(arguments)?;
    let refuse = |reason: String| syn::Error::new(path.span(), format!("{}: {reason}", path.value()));
    let file = folder().join(path.value());
    let length = std::fs::metadata(&file)
        .map_err(|error| refuse(error.to_string()))?
        .len();
    if length > MAX_DOCUMENT_BYTES as u64 {
        return Err(refuse(format!(
            "an interface has at most {MAX_DOCUMENT_BYTES} bytes"
        )));
    }
    let text = std::fs::read_to_string(&file).map_err(|error| refuse(error.to_string()))?;
    let interface = Interface::from_json(&text).map_err(|error| refuse(error.to_string()))?;
    let module = module(&interface, name, path.span()).map_err(|error| refuse(error.to_string()))?;
    let file = file.to_string_lossy();
    Ok(quote! {
        #module
        // What makes the compiler look again when the interface changes.
        const _: &[u8] = ::core::include_bytes!(#file);
    })
}

/// The package that is compiled.
#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells macros by the environment for which package they run"
)]
fn folder() -> PathBuf {
    std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default().into()
}

/// Names that clients have for themselves: a function of that name gets `_` behind it.
const RESERVED: [&str; 5] = ["new", "address", "with_value", "with_gas", "init"];

/// Names that the module has for itself: a type of that name gets `_` behind it.
const RESERVED_TYPES: [&str; 4] = ["Client", "Code", "Error", "Failure"];

fn module(interface: &Interface, name: Option<Ident>, span: Span) -> syn::Result<TokenStream> {
    let name = match name {
        Some(name) => name,
        None => identifier(&interface.name.replace('-', "_"), span)?,
    };
    let named = Names { interface, span };
    let types = named.definitions()?;
    let errors = interface
        .errors
        .iter()
        .map(|error| {
            let (name, docs) = (identifier(&error.name, span)?, &error.message);
            Ok(quote!(#[doc = #docs] #name,))
        })
        .collect::<syn::Result<Vec<_>>>()?;
    let functions = &interface.functions;
    let inputs = functions
        .iter()
        .map(|function| {
            named.input(
                &method(&function.name),
                Some(function.selector),
                &function.arguments,
            )
        })
        .collect::<syn::Result<Vec<_>>>()?;
    let methods = functions
        .iter()
        .map(|function| named.method(function))
        .collect::<syn::Result<Vec<_>>>()?;
    let init_input = named.input("init", None, &interface.init.arguments)?;
    let (init_names, init_kinds) = named.arguments(&interface.init.arguments)?;
    let title = format!("Calls of `{}` {}.", interface.name, interface.version);
    Ok(quote! {
        #[doc = #title]
        #[allow(dead_code, missing_docs, clippy::all)]
        pub mod #name {
            #(#types)*

            /// What the contract reverts with, by name.
            #[derive(Clone, Copy, PartialEq, Eq, Debug, ::millrace_contract::Error)]
            pub enum Error {
                #(#errors)*
            }

            /// A call that failed.
            pub type Failure = ::millrace_contract::client::Failure<Error>;

            /// Inputs as bytes.
            pub mod input {
                #[allow(unused_imports)]
                use super::*;

                #init_input
                #(#inputs)*
            }

            /// A contract with this interface.
            #[derive(Clone, Copy, PartialEq, Eq, Debug)]
            pub struct Client(::millrace_contract::client::Target);

            impl Client {
                /// The contract at `address`. Calls bring no value, and all gas that they may.
                #[must_use]
                pub const fn new(address: ::millrace_contract::Address) -> Self {
                    Self(::millrace_contract::client::Target::new(address))
                }

                /// Where the contract is.
                #[must_use]
                pub const fn address(&self) -> ::millrace_contract::Address {
                    self.0.address
                }

                /// The same contract; calls bring so many units of the native token.
                #[must_use]
                pub const fn with_value(mut self, value: u128) -> Self {
                    self.0.value = value;
                    self
                }

                /// The same contract; calls get so much gas at most.
                #[must_use]
                pub const fn with_gas(mut self, gas: u64) -> Self {
                    self.0.gas = gas;
                    self
                }

                #(#methods)*
            }

            /// The contract's code, to be made a contract.
            #[derive(Clone, Copy, PartialEq, Eq, Debug)]
            pub struct Code<'a>(::millrace_contract::client::Creation<'a>);

            impl<'a> Code<'a> {
                /// The ELF file. The initialiser gets no value, and all gas that it may.
                #[must_use]
                pub const fn new(code: &'a [u8]) -> Self {
                    Self(::millrace_contract::client::Creation { code, value: 0, gas: u64::MAX })
                }

                /// The same code; the new contract gets so many units of the native token.
                #[must_use]
                pub const fn with_value(mut self, value: u128) -> Self {
                    self.0.value = value;
                    self
                }

                /// The same code; the initialiser gets so much gas at most.
                #[must_use]
                pub const fn with_gas(mut self, gas: u64) -> Self {
                    self.0.gas = gas;
                    self
                }

                /// Creates a contract.
                ///
                /// # Errors
                /// How that failed.
                pub fn create(&self, #(#init_names: #init_kinds),*) -> ::core::result::Result<Client, Failure> {
                    self.0.run(&input::init(#(#init_names),*)).map(Client::new)
                }
            }
        }
    })
}

/// An identifier of the interface as one of Rust.
fn identifier(name: &str, span: Span) -> syn::Result<Ident> {
    let parsed = syn::parse_str::<Ident>(name).or_else(|_| syn::parse_str(&format!("r#{name}")));
    let mut identifier = parsed.map_err(|_| {
        let shown: String = name.escape_debug().take(64).collect();
        syn::Error::new(span, format!("`{shown}` cannot be a name in Rust"))
    })?;
    identifier.set_span(span);
    Ok(identifier)
}

fn method(name: &str) -> String {
    if RESERVED.contains(&name) {
        format!("{name}_")
    } else {
        name.to_owned()
    }
}

fn type_name(name: &str, span: Span) -> syn::Result<Ident> {
    if RESERVED_TYPES.contains(&name) {
        identifier(&format!("{name}_"), span)
    } else {
        identifier(name, span)
    }
}

struct Names<'a> {
    interface: &'a Interface,
    span: Span,
}

impl Names<'_> {
    fn definitions(&self) -> syn::Result<Vec<TokenStream>> {
        let derives = quote!(#[derive(Clone, Copy, PartialEq, Eq, Debug, ::millrace_contract::Fixed)]);
        let define = |definition: &Definition| {
            let ident = type_name(definition.name(), self.span)?;
            Ok(match definition {
                Definition::Struct { fields, .. } => {
                    let (names, kinds) = self.fields(fields)?;
                    quote!(#derives pub struct #ident { #(pub #names: #kinds),* })
                }
                Definition::Enum { variants, .. } => {
                    let variants = variants
                        .iter()
                        .map(|variant| identifier(variant, self.span))
                        .collect::<syn::Result<Vec<_>>>()?;
                    quote!(#derives pub enum #ident { #(#variants),* })
                }
            })
        };
        self.interface.types.iter().map(define).collect()
    }

    /// Names and owned types.
    fn fields(&self, fields: &[Field]) -> syn::Result<(Vec<Ident>, Vec<TokenStream>)> {
        let one = |field: &Field| Ok((identifier(&field.name, self.span)?, self.owned(&field.kind)?));
        fields.iter().map(one).collect()
    }

    /// Names and types of what a function takes.
    fn arguments(&self, fields: &[Field]) -> syn::Result<(Vec<Ident>, Vec<TokenStream>)> {
        let one = |field: &Field| Ok((identifier(&field.name, self.span)?, self.borrowed(&field.kind)?));
        fields.iter().map(one).collect()
    }

    fn owned(&self, kind: &Type) -> syn::Result<TokenStream> {
        Ok(match kind {
            Type::Unsigned(bits) => {
                let ident = format_ident!("u{bits}");
                quote!(#ident)
            }
            Type::Signed(bits) => {
                let ident = format_ident!("i{bits}");
                quote!(#ident)
            }
            Type::Bool => quote!(bool),
            Type::Address => quote!(::millrace_contract::Address),
            Type::Bytes => quote!(::millrace_contract::Bytes),
            Type::Str => quote!(::millrace_contract::Text),
            Type::Array(count) => quote!([u8; #count]),
            Type::Option(inner) => {
                let inner = self.owned(inner)?;
                quote!(::core::option::Option<#inner>)
            }
            Type::Vec(inner) => {
                let inner = self.owned(inner)?;
                quote!(::millrace_contract::List<#inner>)
            }
            Type::Named(name) => {
                if !self
                    .interface
                    .types
                    .iter()
                    .any(|definition| definition.name() == name)
                {
                    let text = format!("it names a type `{name}` that it does not define");
                    return Err(syn::Error::new(self.span, text));
                }
                let ident = type_name(name, self.span)?;
                quote!(#ident)
            }
        })
    }

    fn borrowed(&self, kind: &Type) -> syn::Result<TokenStream> {
        Ok(match kind {
            Type::Bytes => quote!(&[u8]),
            Type::Str => quote!(&str),
            Type::Vec(inner) => {
                let inner = self.owned(inner)?;
                quote!(&[#inner])
            }
            _ => self.owned(kind)?,
        })
    }

    /// The function that makes a call's input.
    fn input(&self, name: &str, selector: Option<u8>, arguments: &[Field]) -> syn::Result<TokenStream> {
        let ident = identifier(name, self.span)?;
        let docs = format!("The input of `{name}`.");
        let (names, kinds) = self.arguments(arguments)?;
        let selector = selector.as_slice();
        if arguments.iter().all(|argument| argument.kind.is_fixed()) {
            let start = selector.len();
            return Ok(quote! {
                #[doc = #docs]
                #[must_use]
                pub fn #ident(
                    #(#names: #kinds),*
                ) -> [u8; #start #(+ <#kinds as ::millrace_contract::Fixed>::LENGTH)*] {
                    let mut __input = [0; #start #(+ <#kinds as ::millrace_contract::Fixed>::LENGTH)*];
                    let mut __at = 0;
                    #(::millrace_contract::encoding::parts::put(&mut __input, &mut __at, #selector);)*
                    #(::millrace_contract::encoding::parts::put(&mut __input, &mut __at, #names);)*
                    let _ = __at;
                    __input
                }
            });
        }
        Ok(quote! {
            #[doc = #docs]
            #[must_use]
            pub fn #ident(#(#names: #kinds),*) -> ::millrace_contract::Bytes {
                let mut __input = ::millrace_contract::Bytes::new();
                #(__input.push(#selector);)*
                #(::millrace_contract::encoding::Encode::encode(&#names, &mut __input);)*
                __input
            }
        })
    }

    /// The client's method for a function.
    fn method(&self, function: &Function) -> syn::Result<TokenStream> {
        let ident = identifier(&method(&function.name), self.span)?;
        let (names, kinds) = self.arguments(&function.arguments)?;
        let returns = match &function.returns {
            Some(kind) => self.owned(kind)?,
            None => quote!(()),
        };
        let docs = if function.docs.is_empty() {
            format!("Calls `{}`.", function.name)
        } else {
            function.docs.clone()
        };
        Ok(quote! {
            #[doc = #docs]
            ///
            /// # Errors
            /// How the call failed.
            pub fn #ident(&self, #(#names: #kinds),*) -> ::core::result::Result<#returns, Failure> {
                self.0.call(&input::#ident(#(#names),*))
            }
        })
    }
}

#[cfg(test)]
mod tests;
