//! Enums whose values have names: the list of all values and their names cannot fall behind the enum.

/// Declares an enum, `ALL` (its values in their order) and a function that gives the text beside each value.
#[macro_export]
macro_rules! named_enum {
    (
        $(#[$attribute:meta])*
        $visibility:vis enum $Enum:ident {
            $($(#[$of_value:meta])* $Value:ident $(= $number:expr)? => $text:expr,)+
        }

        $(#[$of_function:meta])*
        fn $function:ident;
    ) => {
        $(#[$attribute])*
        $visibility enum $Enum {
            $($(#[$of_value])* $Value $(= $number)?,)+
        }

        impl $Enum {
            /// Every value, in the order of this enum.
            $visibility const ALL: [$Enum; [$(stringify!($Value)),+].len()] = [$($Enum::$Value),+];

            $(#[$of_function])*
            $visibility const fn $function(self) -> &'static str {
                match self {
                    $($Enum::$Value => $text,)+
                }
            }
        }
    };
}
