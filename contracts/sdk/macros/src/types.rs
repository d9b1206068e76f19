//! Types that no contract can take or return, refused where they stand.
//!
//! The compiler refuses them as well, since they lack a trait; these messages say what to write instead.

use syn::spanned::Spanned as _;
use syn::{Expr, ExprLit, GenericArgument, Lit, PathArguments, Type};

/// Refuses what is known to have no encoding, inside of other types too.
pub fn check(kind: &Type) -> syn::Result<()> {
    let refuse = |reason: &str| Err(syn::Error::new(kind.span(), reason));
    match kind {
        Type::Reference(reference) if reference.mutability.is_some() => {
            refuse("an argument of a call cannot be borrowed to be changed")
        }
        Type::Reference(reference) => check(&reference.elem),
        Type::Slice(slice) => check(&slice.elem),
        Type::Array(array) if is_zero(&array.len) => {
            refuse("this has no bytes: a list of such values could have any length")
        }
        Type::Array(array) => match &*array.elem {
            Type::Path(path) if path.path.is_ident("u8") => Ok(()),
            _ => refuse("arrays are of bytes, `[u8; N]`: use a `Vec` for other elements"),
        },
        Type::Tuple(tuple) if tuple.elems.is_empty() => Ok(()),
        Type::Tuple(_) => {
            refuse("a tuple has no names for its parts: use a structure with `#[derive(Fixed)]`")
        }
        Type::ImplTrait(_) | Type::TraitObject(_) | Type::BareFn(_) | Type::Ptr(_) => {
            refuse("this type has no encoding")
        }
        Type::Paren(inner) => check(&inner.elem),
        Type::Group(inner) => check(&inner.elem),
        Type::Path(path) => {
            let Some(last) = path.path.segments.last() else {
                return Ok(());
            };
            match last.ident.to_string().as_str() {
                "usize" | "isize" => {
                    return refuse("`usize` has another width elsewhere: use `u64` or `u32`");
                }
                "f32" | "f64" => return refuse("contracts have no floats: use an integer of small units"),
                "char" => return refuse("`char` has no encoding: use `u32` or `&str`"),
                "HashMap" | "BTreeMap" | "HashSet" | "BTreeSet" => {
                    return refuse(
                        "maps and sets have no encoding: use a `Vec` of a structure with `#[derive(Fixed)]`",
                    );
                }
                _ => {}
            }
            if let PathArguments::AngleBracketed(arguments) = &last.arguments {
                for argument in &arguments.args {
                    if let GenericArgument::Type(inner) = argument {
                        check(inner)?;
                    }
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn is_zero(length: &Expr) -> bool {
    match length {
        Expr::Lit(ExprLit {
            lit: Lit::Int(count), ..
        }) => count.base10_parse::<u64>().is_ok_and(|count| count == 0),
        _ => false,
    }
}

/// Whether a type's values have encodings of different lengths, as far as its name tells.
pub fn is_variable(kind: &Type) -> bool {
    match kind {
        Type::Reference(_) => true,
        Type::Path(path) => path
            .path
            .segments
            .last()
            .is_some_and(|last| matches!(last.ident.to_string().as_str(), "Vec" | "String" | "Option")),
        _ => false,
    }
}
