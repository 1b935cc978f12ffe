/// The checkout that the tests were built in. The compiler's own word for it, __SOURCE_DIRECTORY__, is mapped to another folder where CI is set.
module Fokker.Tests.Checkout

open System
open System.IO

/// The nearest folder above the test program that holds the solution.
let root =
    let rec climb (folder: DirectoryInfo | null) =
        match folder with
        | null -> failwith "Toolkit.sln is in no folder above the tests."
        | folder when File.Exists(Path.Combine(folder.FullName, "Toolkit.sln")) -> folder.FullName
        | folder -> climb folder.Parent

    climb (DirectoryInfo AppContext.BaseDirectory)

/// A file of the checkout, by its path from there.
let file (path: string) = Path.Combine(root, path)
