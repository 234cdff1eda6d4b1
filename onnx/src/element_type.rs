use std::fmt;

macro_rules! element_types {
    ($($variant:ident = $number:literal, $name:literal;)*) => {
        /// Element type of a tensor; the discriminant is its number in the file format.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i32)]
        #[allow(missing_docs)]
        pub enum ElementType { $($variant = $number,)* }

        impl ElementType {
            /// The type with the number `number` in the file format, if there is one.
            pub fn from_number(number: i32) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }

            /// Its usual name, such as `float16`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

element_types! {
    Undefined = 0, "undefined";
    Float = 1, "float";
    Uint8 = 2, "uint8";
    Int8 = 3, "int8";
    Uint16 = 4, "uint16";
    Int16 = 5, "int16";
    Int32 = 6, "int32";
    Int64 = 7, "int64";
    String = 8, "string";
    Bool = 9, "bool";
    Float16 = 10, "float16";
    Double = 11, "double";
    Uint32 = 12, "uint32";
    Uint64 = 13, "uint64";
    Complex64 = 14, "complex64";
    Complex128 = 15, "complex128";
    Bfloat16 = 16, "bfloat16";
    Float8E4M3Fn = 17, "float8e4m3fn";
    Float8E4M3Fnuz = 18, "float8e4m3fnuz";
    Float8E5M2 = 19, "float8e5m2";
    Float8E5M2Fnuz = 20, "float8e5m2fnuz";
    Uint4 = 21, "uint4";
    Int4 = 22, "int4";
    Float4E2M1 = 23, "float4e2m1";
    Float8E8M0 = 24, "float8e8m0";
    Uint2 = 25, "uint2";
    Int2 = 26, "int2";
    Float6E2M3 = 27, "float6e2m3";
    Float6E3M2 = 28, "float6e3m2";
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
