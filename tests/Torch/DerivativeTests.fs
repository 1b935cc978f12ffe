module Fokker.Tests.Torch.DerivativeTests

open System
open System.Reflection
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Torch.Support
open Fokker.Tests.Torch.Operators

// Central differences in float64: truncation h² f‴ / 6 and rounding ε |f| / h are both about 1e-10 times numbers of
// order one to a hundred at this step.
let private step = 1e-5
let private tolerance = 3e-7

let private shift (xs: Tensor[]) (h: float) (vs: Tensor[]) = Array.map2 (fun x v -> x + h * v) xs vs

let private differences (f: Tensor[] -> Tensor) (xs: Tensor[]) (vs: Tensor[]) =
    (f (shift xs step vs) - f (shift xs -step vs)) / (2.0 * step)

let private inner (a: Tensor[]) (b: Tensor[]) = Array.map2 (fun x y -> Tensor.sum (x * y)) a b |> Array.reduce (+)

let private directions (name: string) (rng: Rng) (xs: Tensor[]) =
    xs |> Array.mapi (fun k x -> Rng.normalLike x (rng |> Rng.named name |> Rng.at (int64 k)))

/// A random point, a weighting of the outputs that makes one number of them, and two directions.
let private setting (operator: Operator) seed =
    let rng = Rng.ofSeed seed
    let xs = operator.Point rng
    let weights = Rng.normalLike (operator.Apply xs) (Rng.named "weights" rng)
    let scalar xs = Tensor.sum (weights * operator.Apply xs)
    xs, weights, scalar, directions "u" rng xs, directions "v" rng xs

[<Tests>]
let tests =
    testList
        "Torch.Derivative"
        [ testEach "first derivatives agree with central differences, in reverse and in forward mode" _.Name all
          <| fun (operator: Operator) ->
              Scope.run0 (fun () ->
                  for seed in 1L .. 3L do
                      let xs, weights, scalar, _, v = setting operator seed
                      let expected = differences operator.Apply xs v
                      let value, tangent = Diff.jvps operator.Apply xs v
                      // Where derivatives are taken another formula of the same function may be at work: equal to rounding.
                      close 1e-14 value (operator.Apply xs)
                      close tolerance tangent expected
                      close tolerance (inner (Diff.grads scalar xs) v) (Tensor.sum (weights * expected)))

          testEach "second derivatives agree with differences of first ones, in all three nestings" _.Name all
          <| fun (operator: Operator) ->
              Scope.run0 (fun () ->
                  for seed in 1L .. 2L do
                      let xs, _, scalar, u, v = setting operator seed
                      let expected = differences (fun xs -> inner (Diff.grads scalar xs) u) xs v
                      // Reverse over reverse.
                      close tolerance (inner (Diff.grads (fun xs -> inner (Diff.grads scalar xs) u) xs) v) expected
                      // Forward over reverse.
                      close tolerance (snd (Diff.jvps (fun xs -> inner (Diff.grads scalar xs) u) xs v)) expected

                      // Reverse over forward.
                      if operator.ReverseOverForward then
                          close tolerance (inner (Diff.grads (fun xs -> snd (Diff.jvps scalar xs u)) xs) v) expected)

          testCase "every function of Tensor, Nn and Linalg is in the table of operators or has no derivative"
          <| fun () ->
              let assembly = typeof<Tensor>.Assembly

              let inModule (name: string) (clrName: string) =
                  match assembly.GetType clrName with
                  | null -> failwith $"{clrName} is not there"
                  | t ->
                      t.GetMethods(BindingFlags.Public ||| BindingFlags.Static ||| BindingFlags.DeclaredOnly)
                      |> Array.map (fun m -> name, m.Name)

              let covered = set [ for o in all -> (o.Name.Split ',')[0] ]

              let missing =
                  [ for m, f in
                        Array.concat
                            [ inModule "Tensor" "Fokker.TensorModule"
                              inModule "Nn" "Fokker.Nn"
                              inModule "Linalg" "Fokker.Linalg" ] do
                        if not (covered.Contains $"{m}.{f}") && not (List.contains f without) then
                            $"{m}.{f}" ]

              Expect.isEmpty missing (String.Join(", ", missing)) ]
