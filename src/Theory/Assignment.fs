namespace Fokker

/// The cheapest one-to-one matching of rows to columns, with the proof that there is no cheaper one.
[<NoComparison; NoEquality>]
type Assignment =
    {
        /// π: the column of every row, int64 [n].
        Columns: Tensor
        /// Σᵢ c[i, π(i)].
        Cost: float
        /// u [n] of the dual: u[i] + v[j] ≤ c[i, j] everywhere, with equality on the matching.
        RowPotentials: Tensor
        /// v [m] of the dual. Where m > n: v ≤ 0, and 0 on every column that stays free.
        ColumnPotentials: Tensor
    }

[<RequireQualifiedAccess>]
module Assignment =

    /// min over injective π of Σᵢ c[i, π(i)] for costs c [n; m], n ≤ m (any floating type, computed in float64). Exact, up to
    /// the rounding of sums of costs; ties go one way or the other, always the same one.
    /// Raises TensorException where c is not such a matrix or holds a value that is not finite or beyond ±1e290.
    /// Jonker, Volgenant 1987, A shortest augmenting path algorithm; Crouse 2016, On implementing 2D rectangular assignment.
    let solve (cost: Tensor) : Assignment =
        let refuse reason = raise (TensorException $"assignment: {cost.Describe()}: {reason}")

        if cost.Rank <> 2 || cost.Shape[0] > cost.Shape[1] then
            refuse "a matrix with no more rows than columns is needed"

        let n, m = cost.Shape[0], cost.Shape[1]
        let c = Tensor.contiguous (cost.To(Device.Cpu).To Dtype.Float64)

        let struct (columns, u, v) =
            try
                Exchange.wherePlain [| c |] (fun at -> JonkerVolgenant.solve at[0] n m)
            with :? TensorException as e ->
                refuse e.Message

        let columns = Tensor.ofArray [ n ] columns

        { Columns = columns
          Cost = (Tensor.sum (Tensor.gather 1 (Tensor.unsqueeze 1 columns) c)).ToFloat()
          RowPotentials = Tensor.ofArray [ n ] u
          ColumnPotentials = Tensor.ofArray [ m ] v }
