//! Settings in layers: what the upper one does not say, the next one does. Merged here, once for all kinds of settings.

/// A value of a layer, or a whole layer.
pub(crate) trait Layer {
    /// This, and beneath it what `below` says.
    fn or(self, below: Self) -> Self;

    /// Whether it says anything.
    fn is_given(&self) -> bool;

    /// The names of what it says, as the file has them.
    fn given(&self) -> Vec<String> {
        Vec::new()
    }
}

impl<T> Layer for Option<T> {
    fn or(self, below: Option<T>) -> Option<T> {
        Option::or(self, below)
    }

    fn is_given(&self) -> bool {
        self.is_some()
    }
}

/// A list wins as a whole.
impl<T> Layer for Vec<T> {
    fn or(self, below: Vec<T>) -> Vec<T> {
        if self.is_empty() { below } else { self }
    }

    fn is_given(&self) -> bool {
        !self.is_empty()
    }
}

/// A flag is given or not.
impl Layer for bool {
    fn or(self, below: bool) -> bool {
        self || below
    }

    fn is_given(&self) -> bool {
        *self
    }
}

/// A struct whose fields are values of a layer, and that is one.
macro_rules! layer {
    (
        $(#[$about:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$field_about:meta])* $field_visibility:vis $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$about])*
        $visibility struct $name {
            $($(#[$field_about])* $field_visibility $field: $type,)*
        }

        impl $crate::config::layer::Layer for $name {
            fn or(self, below: Self) -> Self {
                $name { $($field: $crate::config::layer::Layer::or(self.$field, below.$field),)* }
            }

            fn is_given(&self) -> bool {
                false $(|| $crate::config::layer::Layer::is_given(&self.$field))*
            }

            fn given(&self) -> Vec<String> {
                let fields = [$((stringify!($field), $crate::config::layer::Layer::is_given(&self.$field)),)*];
                fields.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name.replace('_', "-")).collect()
            }
        }
    };
}

pub(crate) use layer;

#[cfg(test)]
mod tests {
    use super::*;

    layer! {
        #[derive(PartialEq, Debug, Default)]
        struct Both {
            upper: Option<u8>,
            list: Vec<u8>,
            flag: bool,
        }
    }

    #[test]
    fn what_the_upper_layer_does_not_say_the_next_one_does() {
        let upper = Both { upper: Some(1), list: vec![], flag: false };
        let lower = Both { upper: Some(2), list: vec![3, 4], flag: true };
        assert_eq!(upper.or(lower), Both { upper: Some(1), list: vec![3, 4], flag: true });
        let (full, other) = (Both { list: vec![1], ..Both::default() }, Both { list: vec![2], ..Both::default() });
        assert_eq!(full.or(other).list, [1]);
        let some = Both { upper: Some(1), flag: true, ..Both::default() };
        assert_eq!((some.given(), some.is_given()), (vec!["upper".to_owned(), "flag".to_owned()], true));
        assert!(!Both::default().is_given());
    }
}
