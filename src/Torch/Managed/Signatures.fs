namespace Fokker

open System
open System.Collections.Generic
open System.Globalization

/// What stands in one place of an operator's signature.
[<Struct>]
type internal Formal =
    {
        /// `t` tensor, `i` integer, `f` float, `b` bool, `s` string, `d` element type, `l` layout, `p` place (device), `m` memory format, `x` Scalar.
        Kind: char
        /// How many of them: one, a list, a list of optional ones (`t?[]`).
        List: bool
        OptionalItems: bool
        /// Whether none may stand here.
        Optional: bool
        /// Numbers as they cross the C ABI, or the letters of a string; null where an argument has to be given.
        Default: int64[] | null
    }

/// An operator's arguments and results, which the C ABI wants whole: nothing in it says what an operator takes, or fills in what is left out.
[<NoComparison; NoEquality>]
type internal Signature = { Formals: Formal[]; Results: Formal[] }

/// The signatures of libtorch 2.10's operators that Fokker calls, in order of their names. They are facts about that library: its own registration of
/// each says the same in more words. `?` after a kind allows none, which is then also the default; `=` gives another.
module internal Signatures =

    let private text =
        """
_backward: t t[] t? b? b=0 ->
_foreach_addcmul.Tensor: t[] t[] t[] t -> t[]
_local_scalar_dense: t -> scalar
_make_dual: t t i -> t
_to_copy: t dtype? layout? device? b? b=0 format? -> t
_unpack_dual: t i -> t t
abs: t -> t
acos: t -> t
add.Scalar: t scalar scalar=1 -> t
add.Tensor: t t scalar=1 -> t
alias: t -> t
all: t -> t
amax: t i[]= b=0 -> t
amin: t i[]= b=0 -> t
any: t -> t
arange.start_step: scalar scalar scalar=1 dtype? layout? device? b? -> t
argmax: t i? b=0 -> t
argmin: t i? b=0 -> t
argsort.stable: t b i=-1 b=0 -> t
asin: t -> t
atan: t -> t
atan2: t t -> t
avg_pool2d: t i[] i[]= i[]=0,0 b=0 b=1 i? -> t
bmm: t t -> t
cat: t[] i=0 -> t
cdist: t t f=2 i? -> t
ceil: t -> t
chunk: t i i=0 -> t[]
clamp: t scalar? scalar? -> t
clamp.Tensor: t t? t? -> t
clone: t format? -> t
constant_pad_nd: t i[] scalar=0 -> t
contiguous: t format=0 -> t
conv2d: t t t? i[]=1,1 i[]=0,0 i[]=1,1 i=1 -> t
cos: t -> t
cosh: t -> t
cumsum: t i dtype? -> t
detach: t -> t
diag_embed: t i=0 i=-2 i=-1 -> t
diagonal: t i=0 i=0 i=1 -> t
div.Scalar: t scalar -> t
div.Tensor: t t -> t
einsum: s t[] i[]? -> t
embedding: t t i=-1 b=0 b=0 -> t
eq.Scalar: t scalar -> t
eq.Tensor: t t -> t
equal: t t -> b
erf: t -> t
erfinv: t -> t
exp: t -> t
expand: t i[] b=0 -> t
expm1: t -> t
eye: i dtype? layout? device? b? -> t
flip: t i[] -> t
floor: t -> t
full: i[] scalar dtype? layout? device? b? -> t
gather: t i t b=0 -> t
ge.Scalar: t scalar -> t
ge.Tensor: t t -> t
gelu: t s=none -> t
group_norm: t i t? t? f=1e-05 b=1 -> t
gt.Scalar: t scalar -> t
gt.Tensor: t t -> t
index.Tensor: t t?[] -> t
index_select: t i t -> t
isfinite: t -> t
isnan: t -> t
kthvalue: t i i=-1 b=0 -> t t
layer_norm: t i[] t? t? f=1e-05 b=1 -> t
le.Tensor: t t -> t
lerp.Tensor: t t t -> t
linalg_cholesky: t b=0 -> t
linalg_eigh: t s=L -> t t
linalg_inv: t -> t
linalg_qr: t s=reduced -> t t
linalg_slogdet: t -> t t
linalg_solve: t t b=1 -> t
linalg_solve_triangular: t t b b=1 b=0 -> t
linalg_svd: t b=1 s? -> t t t
linear: t t t? -> t
linspace: scalar scalar i dtype? layout? device? b? -> t
linspace.Tensor_Tensor: t t i dtype? layout? device? b? -> t
log: t -> t
log10: t -> t
log1p: t -> t
log_sigmoid: t -> t
log_softmax.int: t i dtype? -> t
logaddexp: t t -> t
logical_and: t t -> t
logical_not: t -> t
logical_or: t t -> t
logsumexp: t i[] b=0 -> t
lt.Scalar: t scalar -> t
lt.Tensor: t t -> t
matmul: t t -> t
max_pool2d: t i[] i[]= i[]=0,0 i[]=1,1 b=0 -> t
maximum: t t -> t
mean: t dtype? -> t
mean.dim: t i[]? b=0 dtype? -> t
minimum: t t -> t
mul.Scalar: t scalar -> t
mul.Tensor: t t -> t
narrow: t i i i -> t
neg: t -> t
one_hot: t i=-1 -> t
ones: i[] dtype? layout? device? b? -> t
pad: t i[] s=constant f? -> t
permute: t i[] -> t
pixel_shuffle: t i -> t
pixel_unshuffle: t i -> t
pow.Tensor_Scalar: t scalar -> t
pow.Tensor_Tensor: t t -> t
prod: t dtype? -> t
reciprocal: t -> t
relu: t -> t
remainder.Scalar: t scalar -> t
remainder.Tensor: t t -> t
repeat: t i[] -> t
repeat_interleave.self_int: t i i? i? -> t
reshape: t i[] -> t
round: t -> t
rsqrt: t -> t
rsub.Scalar: t scalar scalar=1 -> t
select.int: t i i -> t
selu: t -> t
sigmoid: t -> t
sign: t -> t
silu: t -> t
sin: t -> t
sinh: t -> t
slice.Tensor: t i=0 i? i? i=1 -> t
softmax.int: t i dtype? -> t
softplus: t scalar=1 scalar=20 -> t
sort: t i=-1 b=0 -> t t
split.Tensor: t i i=0 -> t[]
sqrt: t -> t
square: t -> t
squeeze.dim: t i -> t
stack: t[] i=0 -> t
sub.Scalar: t scalar scalar=1 -> t
sub.Tensor: t t scalar=1 -> t
sum: t dtype? -> t
sum.dim_IntList: t i[]? b=0 dtype? -> t
tan: t -> t
tanh: t -> t
trace: t -> t
transpose.int: t i i -> t
tril: t i=0 -> t
unbind.int: t i=0 -> t[]
unsqueeze: t i -> t
upsample_nearest2d.vec: t i[]? f[]? -> t
var.correction: t i[]? scalar? b=0 -> t
var.dim: t i[]? b=1 b=0 -> t
where.self: t t t -> t
zeros: i[] dtype? layout? device? b? -> t
"""

    let private formal (word: string) : Formal =
        let kind, rest =
            match word.IndexOf '=' with
            | -1 -> word, None
            | at -> word.Substring(0, at), Some(word.Substring(at + 1))

        let optional = kind.EndsWith '?'
        let kind = kind.TrimEnd '?'
        let list = kind.EndsWith "[]"
        let items = if list then kind.Substring(0, kind.Length - 2) else kind

        let letter =
            match items.TrimEnd '?' with
            | "t" -> 't'
            | "i" -> 'i'
            | "f" -> 'f'
            | "b" -> 'b'
            | "s" -> 's'
            | "dtype" -> 'd'
            | "layout" -> 'l'
            | "device" -> 'p'
            | "format" -> 'm'
            | "scalar" -> 'x'
            | other -> invalidOp $"a signature with '{other}'"

        let value: int64[] | null =
            match rest, letter with
            | None, _ -> if optional then [||] else null
            | Some "", _ -> [||]
            | Some text, 's' -> [| for c in text -> int64 c |]
            | Some text, 'f' -> [| BitConverter.DoubleToInt64Bits(Double.Parse(text, CultureInfo.InvariantCulture)) |]
            | Some text, _ -> text.Split ',' |> Array.map int64

        { Kind = letter
          List = list
          OptionalItems = list && items.EndsWith '?'
          Optional = optional
          Default = value }

    let private parse (line: string) : KeyValuePair<string, Signature> =
        let name, rest = line.Substring(0, line.IndexOf ':'), line.Substring(line.IndexOf ':' + 1)
        let formals (text: string) = text.Split(' ', StringSplitOptions.RemoveEmptyEntries) |> Array.map formal

        match rest.Split "->" with
        | [| arguments; results |] -> KeyValuePair(name, { Formals = formals arguments; Results = formals results })
        | _ -> invalidOp $"a signature without results: {line}"

    let private known =
        lazy
            (text.Split('\n', StringSplitOptions.RemoveEmptyEntries)
             |> Seq.map parse
             |> Dictionary<string, Signature>)

    /// By name and overload, `add.Tensor` or `exp`.
    let find (name: string) : Signature option =
        match known.Force().TryGetValue name with
        | true, signature -> Some signature
        | _ -> None

    /// All names.
    let names () : string list = List.ofSeq (known.Force().Keys)
