//! `#[derive(Error)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Fields};

use crate::attributes::{docs, plain, text};

pub fn expand(item: TokenStream) -> syn::Result<TokenStream> {
    let input: DeriveInput = syn::parse2(item)?;
    let Data::Enum(enumeration) = &input.data else {
        return Err(syn::Error::new(
            input.ident.span(),
            "errors are the variants of an enumeration",
        ));
    };
    if !input.generics.params.is_empty() {
        return Err(syn::Error::new_spanned(
            &input.generics,
            "errors are known by name: they cannot be generic",
        ));
    }
    let mut variants = Vec::new();
    for variant in &enumeration.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(syn::Error::new_spanned(
                &variant.fields,
                "an error is its name: variants have no fields, since writing them out costs a kilobyte of code",
            ));
        }
        let name = plain(&variant.ident);
        let given = text(&variant.attrs, "error")?.map(|text| text.value());
        let on_chain = given
            .as_ref()
            .map_or(name.clone(), |text| format!("{name}: {text}"));
        let message = given.unwrap_or_else(|| docs(&variant.attrs));
        variants.push((&variant.ident, name, on_chain, message));
    }
    let ident = &input.ident;
    let names: Vec<_> = variants.iter().map(|(_, name, _, _)| name).collect();
    let messages = variants.iter().map(|(_, _, _, message)| message);
    let texts = variants.iter().map(|(_, _, text, _)| text);
    let variants: Vec<_> = variants.iter().map(|(variant, _, _, _)| variant).collect();
    Ok(quote! {
        impl ::millrace_contract::error::Error for #ident {
            fn text(&self) -> &'static str {
                match *self {
                    #(Self::#variants => #texts,)*
                }
            }

            fn from_name(name: &str) -> ::core::option::Option<Self> {
                match name {
                    #(#names => ::core::option::Option::Some(Self::#variants),)*
                    _ => ::core::option::Option::None,
                }
            }
        }

        impl ::core::convert::From<#ident> for ::millrace_contract::Revert {
            fn from(error: #ident) -> Self {
                ::millrace_contract::error::Error::text(&error).into()
            }
        }

        #[cfg(not(target_os = "none"))]
        impl ::millrace_contract::interface::DescribedErrors for #ident {
            fn describe() -> ::std::vec::Vec<::millrace_contract::interface::Error> {
                ::std::vec![#(::millrace_contract::interface::Error {
                    name: #names.into(),
                    message: #messages.into(),
                }),*]
            }
        }
    })
}

#[cfg(test)]
mod tests;
