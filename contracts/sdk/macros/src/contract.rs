//! `#[contract]`: from a module's functions to its entry point.

mod read;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{ItemMod, ReturnType};

use read::{Argument, Contract, Entry};

pub fn expand(arguments: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(syn::Error::new_spanned(
            arguments,
            "`#[contract]` takes no arguments",
        ));
    }
    let module: ItemMod = syn::parse2(item).map_err(|error| {
        syn::Error::new(
            error.span(),
            "`#[contract]` stands before a module that holds the contract's functions",
        )
    })?;
    let contract = read::read(module)?;
    let dispatch = dispatch(&contract);
    let interface = interface(&contract);
    let Contract {
        attributes,
        visibility,
        name,
        items,
        ..
    } = &contract;
    Ok(quote! {
        #(#attributes)*
        #visibility mod #name {
            #(#items)*
            #dispatch
            #interface

            #[cfg(target_os = "none")]
            #[unsafe(no_mangle)]
            extern "C" fn _start() -> ! {
                dispatch()
            }
        }

        #[cfg(not(target_os = "none"))]
        #[allow(dead_code, reason = "tests have a `main` of their own")]
        fn main() {
            ::millrace_contract::interface::main(#name::dispatch, #name::interface);
        }
    })
}

/// The mistakes alone: without a `main`, the compiler would ask for one as well.
pub fn refused(error: syn::Error) -> syn::Result<TokenStream> {
    let errors = error.to_compile_error();
    Ok(quote! {
        #errors

        #[cfg(not(target_os = "none"))]
        #[allow(dead_code, reason = "tests have a `main` of their own")]
        fn main() {}
    })
}

fn dispatch(contract: &Contract) -> TokenStream {
    let init = enter(&contract.init);
    let arms = contract.functions.iter().map(|function| {
        let (selector, conditions) = (&function.selector, &function.entry.conditions);
        let enter = enter(&function.entry);
        quote! {
            #(#conditions)*
            #selector => { #enter }
        }
    });
    quote! {
        /// Runs one frame of this contract to its end.
        pub fn dispatch() -> ! {
            #[cfg(not(target_os = "none"))]
            ::millrace_contract::mock::identify(::core::module_path!());
            let __input = ::millrace_contract::dispatch::Input::load();
            let mut __reader = __input.reader();
            if ::millrace_contract::host::is_initialising() {
                #init
            }
            match ::millrace_contract::dispatch::or_revert(__reader.read::<u8>()) {
                #(#arms)*
                _ => ::millrace_contract::host::revert(b"unknown selector"),
            }
        }
    }
}

/// Decodes the arguments and runs the function, which ends the frame.
fn enter(entry: &Entry) -> TokenStream {
    let name = &entry.name;
    let refuse_value = (!entry.payable).then(|| quote!(::millrace_contract::dispatch::refuse_value();));
    let decode = entry.arguments.iter().map(|Argument { name, kind }| {
        quote_spanned! { kind.span() =>
            let #name: #kind = ::millrace_contract::dispatch::or_revert(__reader.read());
        }
    });
    let names = entry.arguments.iter().map(|argument| &argument.name);
    let span = match &entry.output {
        ReturnType::Default => name.span(),
        ReturnType::Type(_, kind) => kind.span(),
    };
    let reply = quote_spanned! { span =>
        // By its path: an argument may have the function's own name.
        ::millrace_contract::dispatch::reply(self::#name(#(#names),*))
    };
    quote! {
        #refuse_value
        #(#decode)*
        ::millrace_contract::dispatch::or_revert(__reader.finish());
        #reply
    }
}

fn interface(contract: &Contract) -> TokenStream {
    let init_fields = fields(&contract.init);
    let init_payable = contract.init.payable;
    let functions = contract.functions.iter().map(|function| {
        let (selector, conditions, entry) = (&function.selector, &function.entry.conditions, &function.entry);
        let (name, payable, docs) = (&entry.interface_name, entry.payable, &entry.docs);
        let fields = fields(entry);
        let returns = match &entry.output {
            ReturnType::Default => quote!(::core::option::Option::None),
            ReturnType::Type(_, kind) => quote_spanned! { kind.span() =>
                ::millrace_contract::interface::returns::<#kind>(&mut __types)
            },
        };
        quote! {
            #(#conditions)*
            __functions.push(::millrace_contract::interface::Function {
                name: #name.into(),
                selector: #selector,
                payable: #payable,
                arguments: #fields,
                returns: #returns,
                docs: #docs.into(),
            });
        }
    });
    let (events, errors, storage) = (&contract.events, &contract.errors, &contract.storage);
    quote! {
        /// Describes the contract.
        #[cfg(not(target_os = "none"))]
        pub fn interface() -> ::millrace_contract::interface::Interface {
            use ::millrace_contract::interface as __interface;
            let mut __types = __interface::Definitions::new();
            let __init = __interface::Init { payable: #init_payable, arguments: #init_fields };
            let mut __functions = ::std::vec::Vec::new();
            #(#functions)*
            let __events = ::std::vec![
                #(<#events as __interface::DescribedEvent>::describe(&mut __types)),*
            ];
            let __errors: ::std::vec::Vec<::std::vec::Vec<__interface::Error>> = ::std::vec![
                #(<#errors as __interface::DescribedErrors>::describe()),*
            ];
            let __storage: ::std::vec::Vec<::std::vec::Vec<__interface::Place>> = ::std::vec![
                #(<#storage as __interface::DescribedStorage>::describe(&mut __types)),*
            ];
            __interface::Interface {
                format: __interface::FORMAT,
                name: ::core::env!("CARGO_PKG_NAME").into(),
                version: ::core::env!("CARGO_PKG_VERSION").into(),
                sdk: ::millrace_contract::VERSION.into(),
                init: __init,
                functions: __functions,
                types: __types.into_values().collect(),
                events: __events,
                errors: __errors.concat(),
                storage: __storage.concat(),
            }
        }
    }
}

fn fields(entry: &Entry) -> TokenStream {
    let fields = entry
        .arguments
        .iter()
        .zip(&entry.argument_names)
        .map(|(argument, name)| {
            let kind = &argument.kind;
            quote_spanned! { kind.span() =>
                ::millrace_contract::interface::field::<#kind>(#name, &mut __types)
            }
        });
    quote!(::std::vec![#(#fields),*])
}

#[cfg(test)]
mod tests;
