namespace Fokker.Pictures

/// Lines along which a function of the plane has one value.
module Contour =

    /// The pieces of the line f = level on a regular grid over the window: values row-major [rows; columns] from the lower left corner, f linear between neighbours
    /// (marching squares; a saddle is parted by the mean of its corners). Each piece has two points. Cells with a value that is not finite are left out.
    let lines (window: Window) (columns: int) (values: float[]) (level: float) : (float * float)[][] =
        let rows = values.Length / columns
        let x column = float window.Left + float (window.Right - window.Left) * column / float (columns - 1)
        let y row = float window.Bottom + float (window.Top - window.Bottom) * row / float (rows - 1)
        let at row column = values[row * columns + column]

        [| for row in 0 .. rows - 2 do
               for column in 0 .. columns - 2 do
                   let r, c = float row, float column
                   let a, b, d, e = at row column, at row (column + 1), at (row + 1) (column + 1), at (row + 1) column

                   if System.Double.IsFinite(a + b + d + e) then
                       // The places at which the line crosses the four sides, in order around the cell.
                       let crossing u v (ux, uy) (vx, vy) =
                           if (u < level) = (v < level) then
                               []
                           else
                               let s = (level - u) / (v - u)
                               [ x (c + ux + s * (vx - ux)), y (r + uy + s * (vy - uy)) ]

                       let sides =
                           [ crossing a b (0.0, 0.0) (1.0, 0.0)
                             crossing b d (1.0, 0.0) (1.0, 1.0)
                             crossing d e (1.0, 1.0) (0.0, 1.0)
                             crossing e a (0.0, 1.0) (0.0, 0.0) ]

                       match List.concat sides with
                       | [ p; q ] -> [| p; q |]
                       | [ p; q; s; u ] ->
                           // Of the two ways through a saddle the one that keeps the middle on its side.
                           if ((a + b + d + e) / 4.0 < level) = (a < level) then
                               [| p; q |]
                               [| s; u |]
                           else
                               [| p; u |]
                               [| q; s |]
                       | _ -> () |]
